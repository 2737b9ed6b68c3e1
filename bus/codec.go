package bus

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Codec turns values into the data of events and back. Its methods are called by many goroutines at a time.
type Codec[T any] interface {
	// Encode returns the data of an event. The event keeps it.
	Encode(v T) ([]byte, error)
	// Decode returns the value. Data is shared with others: it must not be changed, and may be kept.
	Decode(data []byte) (T, error)
}

// JSON returns the codec that is the default of every type but []byte: encoding/json.
func JSON[T any]() Codec[T] { return jsonCodec[T]{} }

type jsonCodec[T any] struct{}

func (jsonCodec[T]) Encode(v T) ([]byte, error) { return json.Marshal(v) }

func (jsonCodec[T]) Decode(data []byte) (v T, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}

// Raw returns the codec that leaves data as it is, and is the default of []byte. What it decodes is shared with others and must not be
// changed.
func Raw() Codec[[]byte] { return rawCodec{} }

type rawCodec struct{}

func (rawCodec) Encode(v []byte) ([]byte, error)    { return v, nil }
func (rawCodec) Decode(data []byte) ([]byte, error) { return data, nil }

// Protobuf returns the codec of a generated type, such as *pb.Order.
func Protobuf[T proto.Message]() Codec[T] { return protobufCodec[T]{} }

type protobufCodec[T proto.Message] struct{}

func (protobufCodec[T]) Encode(v T) ([]byte, error) { return proto.Marshal(v) }

func (protobufCodec[T]) Decode(data []byte) (T, error) {
	var none T
	v, ok := none.ProtoReflect().Type().New().Interface().(T)
	if !ok {
		return none, fmt.Errorf("%T is not what protobuf makes of its own type", none)
	}
	if err := proto.Unmarshal(data, v); err != nil {
		return none, err
	}
	return v, nil
}

// defaultCodec is JSON, and for bytes themselves.
func defaultCodec[T any]() Codec[T] {
	if raw, ok := any(rawCodec{}).(Codec[T]); ok {
		return raw
	}
	return jsonCodec[T]{}
}
