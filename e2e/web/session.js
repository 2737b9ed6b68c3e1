// What a client of npm's mqtt does with a server, in Node.js over TCP and in a browser over WebSocket. It throws at the first thing that is not as it
// should be. restart has the test kill the server and start it again.
export async function session(mqtt, url, restart) {
  for (const protocolVersion of [4, 5]) {
    await messages(mqtt, url, protocolVersion);
    await retained(mqtt, url, protocolVersion);
    await will(mqtt, url, protocolVersion);
  }
  await properties(mqtt, url);
  for (const protocolVersion of [4, 5]) await reconnects(mqtt, url, protocolVersion, restart);
  return 'all is well';
}

const patience = 20_000;

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function same(what, got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

// A peer is a client and what it has received.
class Peer {
  constructor(mqtt, url, options) {
    this.waiting = [];
    this.received = [];
    this.client = mqtt.connect(url, { reconnectPeriod: 200, connectTimeout: patience, ...options });
    this.client.on('error', () => {}); // connection refused, while the server is restarted
    this.client.on('message', (topic, payload, packet) => {
      this.received.push({ topic, text: new TextDecoder().decode(payload), qos: packet.qos, retain: packet.retain, properties: packet.properties });
      this.waiting.shift()?.();
    });
  }
  static async connect(mqtt, url, options) {
    const peer = new Peer(mqtt, url, options);
    await within('connecting', new Promise((resolve) => peer.client.once('connect', resolve)));
    return peer;
  }
  async next() {
    if (this.received.length === 0) await within('a message', new Promise((resolve) => this.waiting.push(resolve)));
    return this.received.shift();
  }
  async gets(...want) {
    for (const text of want) {
      const m = await this.next();
      same('a message', `${m.topic} ${m.qos}${m.retain ? ' retain' : ''} ${m.text.slice(0, 50)}`, text);
    }
  }
  publish(topic, text, options) {
    return within('publishing', this.client.publishAsync(topic, text, options));
  }
  subscribe(topic, options) {
    return within('subscribing', this.client.subscribeAsync(topic, options));
  }
  end() {
    return within('disconnecting', this.client.endAsync());
  }
}

async function messages(mqtt, url, protocolVersion) {
  const top = `v${protocolVersion}/messages`;
  const subscriber = await Peer.connect(mqtt, url, { protocolVersion });
  const publisher = await Peer.connect(mqtt, url, { protocolVersion });
  await subscriber.subscribe(`${top}/#`, { qos: 2 });
  for (const qos of [0, 1, 2]) {
    for (let i = 0; i < 20; i++) publisher.publish(`${top}/${qos}`, `${i}`, { qos });
    for (let i = 0; i < 20; i++) await subscriber.gets(`${top}/${qos} ${qos} ${i}`);
    await publisher.publish(`${top}/large`, 'ü'.repeat(100_000), { qos });
    same('a large message', (await subscriber.next()).text.length, 100_000);
  }
  await within('unsubscribing', subscriber.client.unsubscribeAsync(`${top}/#`));
  await subscriber.subscribe(`${top}/b`, { qos: 0 });
  await publisher.publish(`${top}/a`, 'nobody', { qos: 1 });
  await publisher.publish(`${top}/b`, 'x', { qos: 1 });
  await subscriber.gets(`${top}/b 0 x`);
  await Promise.all([subscriber.end(), publisher.end()]);
}

async function retained(mqtt, url, protocolVersion) {
  const topic = `v${protocolVersion}/retained`;
  const publisher = await Peer.connect(mqtt, url, { protocolVersion });
  await publisher.publish(topic, 'old', { qos: 1, retain: true });
  await publisher.publish(topic, 'new', { qos: 1, retain: true });
  const late = await Peer.connect(mqtt, url, { protocolVersion });
  await late.subscribe(topic, { qos: 1 });
  await late.gets(`${topic} 1 retain new`);
  await publisher.publish(topic, '', { qos: 1, retain: true });
  await late.gets(`${topic} 1 `);
  await Promise.all([late.end(), publisher.end()]);
}

async function will(mqtt, url, protocolVersion) {
  const topic = `v${protocolVersion}/gone`;
  const watcher = await Peer.connect(mqtt, url, { protocolVersion });
  await watcher.subscribe(topic, { qos: 1 });
  const options = { protocolVersion, will: { topic, payload: 'bye', qos: 1 }, reconnectPeriod: 0 };
  const leaves = await Peer.connect(mqtt, url, options);
  await leaves.end();
  const killed = await Peer.connect(mqtt, url, options);
  killed.client.stream.destroy();
  await watcher.gets(`${topic} 1 bye`);
  await watcher.publish(topic, 'last', { qos: 1 });
  await watcher.gets(`${topic} 1 last`);
  await watcher.end();
}

async function properties(mqtt, url) {
  const subscriber = await Peer.connect(mqtt, url, { protocolVersion: 5, properties: { topicAliasMaximum: 5, receiveMaximum: 3 } });
  await subscriber.subscribe('v5/properties/#', { qos: 1, nl: true, rap: true, properties: { subscriptionIdentifier: 9 } });
  const publisher = await Peer.connect(mqtt, url, { protocolVersion: 5, autoAssignTopicAlias: true });
  for (let i = 0; i < 10; i++) {
    await publisher.publish(`v5/properties/${i % 3}`, `${i}`, {
      qos: 1,
      properties: { contentType: 'text/plain', responseTopic: 'answers', messageExpiryInterval: 100, payloadFormatIndicator: true, userProperties: { b: ['1', '2'], a: '3' } },
    });
    const m = await subscriber.next();
    same('the topic', m.topic, `v5/properties/${i % 3}`);
    same('content type', m.properties.contentType, 'text/plain');
    same('response topic', m.properties.responseTopic, 'answers');
    same('payload format', m.properties.payloadFormatIndicator, true);
    same('user properties', { ...m.properties.userProperties }, { b: ['1', '2'], a: '3' });
    same('the subscription identifier', m.properties.subscriptionIdentifier, 9);
    if (!(m.properties.messageExpiryInterval <= 100)) throw new Error(`expiry ${m.properties.messageExpiryInterval}`);
  }
  await subscriber.publish('v5/properties/own', 'not wanted', { qos: 1 });
  await publisher.publish('v5/properties/end', 'x', { qos: 1 });
  await subscriber.gets('v5/properties/end 1 x');
  await Promise.all([subscriber.end(), publisher.end()]);
}

// The server is killed; the client connects again by itself, and its session goes on.
async function reconnects(mqtt, url, protocolVersion, restart) {
  const topic = `v${protocolVersion}/session`;
  const options = { protocolVersion, clean: false };
  if (protocolVersion === 5) options.properties = { sessionExpiryInterval: 600 };
  const away = await Peer.connect(mqtt, url, { ...options, clientId: `away${protocolVersion}` });
  await away.subscribe(topic, { qos: 1 });
  await away.end();
  const publisher = await Peer.connect(mqtt, url, { ...options, clientId: `publisher${protocolVersion}` });
  await publisher.publish(topic, 'before', { qos: 1 });
  const back = within('connecting again', new Promise((resolve) => publisher.client.once('connect', resolve)));
  await restart();
  same('session present', (await back).sessionPresent, true);
  await publisher.publish(topic, 'after', { qos: 1 });
  const again = new Peer(mqtt, url, { ...options, clientId: `away${protocolVersion}` });
  await again.gets(`${topic} 1 before`, `${topic} 1 after`);
  await Promise.all([again.end(), publisher.end()]);
}
