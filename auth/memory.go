package auth

import "slices"

// A Memory is an identity as it can be stored, for what somebody has asked to be done later, when they may not be there: nobody logs in with it. It has no secret.
type Memory struct {
	User   string   `json:"user,omitempty"`
	Client string   `json:"client,omitempty"`
	Method Method   `json:"method,omitempty"`
	Roles  []string `json:"roles,omitempty"`
}

// Remember returns what [Auth.Recall] needs. Nobody is remembered as nobody.
func (a *Auth) Remember(id Identity) Memory {
	return Memory{User: id.User(), Client: id.Client(), Method: id.Method(), Roles: id.Roles()}
}

// Recall returns an identity that decides like the one that was remembered would by now: a configured user has the roles of now, or none if there is
// no such user any more; who came with a token or a certificate has the roles of then, with the rights that these have now; and what was
// open is nobody's once authentication is configured.
func (a *Auth) Recall(m Memory) Identity {
	if m.Method == "" {
		return Identity{}
	}
	p := &principal{names: names{user: m.User, client: m.Client}, method: m.Method, source: recalled(m)}
	return a.identity(a.snap.Load(), p)
}

// recalled is a source that knows no secret.
type recalled Memory

func (r recalled) roles(s *snapshot, user string) ([]string, error) {
	if r.Method == MethodPassword || r.Method == MethodSCRAM {
		account, known := s.accounts[user]
		if !known {
			return nil, ErrWithdrawn
		}
		return account.roles, nil
	}
	return slices.Clone(r.Roles), nil
}
