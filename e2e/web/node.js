// node node.js URL TEST runs the session over TCP. TEST is the address of the test, which restarts the server when asked.
import mqtt from 'mqtt';
import { session } from './session.js';

const [url, test] = process.argv.slice(2);
try {
  console.log(await session(mqtt, url, () => fetch(`${test}/restart`, { method: 'POST' })));
  process.exit(0);
} catch (err) {
  console.error(err);
  process.exit(1);
}
