/**
 * The queries that were put to a v1.4.0 node (`test/vectors/http`), put to ours: status, type and body are the same; where a body shows the machine, its keys,
 * their order and the types are.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { diskOf, FakeView } from '../control/fakeView.js';
import { shapeOf } from '../control/recorded.js';
import { packageRoot } from '../packageRoot.js';
import { opened, temporaryFolder } from '../telemetry/openLog.js';
import { startApi } from './apiThread.js';
import { onEachServer } from './servers.js';

interface Recorded {
  method: string;
  target: string;
  form?: string;
  status: number;
  contentType: string;
  location?: string;
  nosniff?: boolean;
  body: string;
}

const recorded = JSON.parse(
  readFileSync(join(packageRoot, 'test', 'vectors', 'http', 'debugApi.json'), 'utf8'),
) as Recorded[];

/** Paths whose bodies show the machine. */
const SHAPES = new Set(['/disks', '/%64isks', '/partitions', '/stats', '/disks?a=b']);

interface Seen {
  status: number;
  contentType: string;
  location: string;
  nosniff: boolean;
  body: string;
}

function ask(port: number, { method, target, form }: Recorded): Promise<Seen> {
  const type = { 'Content-Type': 'application/x-www-form-urlencoded' };
  const headers = { ...(form === undefined ? {} : type), 'Content-Length': Buffer.byteLength(form ?? '') };
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, method, path: target, agent: false, headers };
    const outgoing = request(options, (reply) => {
      const { headers, statusCode = 0 } = reply;
      let body = '';
      reply.on('data', (chunk) => {
        body += chunk;
      });
      reply.on('end', () =>
        resolve({
          status: statusCode,
          contentType: headers['content-type'] ?? '',
          location: headers.location ?? '',
          nosniff: headers['x-content-type-options'] === 'nosniff',
          body,
        }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(form);
  });
}

/** Keys that we have added to an object of the reference come after its own. */
function withoutOurs(ours: unknown, theirs: unknown): unknown {
  if (Array.isArray(ours) && Array.isArray(theirs)) return ours.map((one) => withoutOurs(one, theirs[0]));
  if (typeof ours !== 'object' || ours === null || typeof theirs !== 'object' || theirs === null) return ours;
  const count = Object.keys(theirs).length;
  const kept = Object.entries(ours).slice(0, Array.isArray(ours) ? undefined : count);
  return Object.fromEntries(
    kept.map(([key, value]) => [key, withoutOurs(value, (theirs as Record<string, unknown>)[key])]),
  );
}

t.test(
  'every recorded query is answered as the reference does',
  onEachServer(async (t, server) => {
    const view = new FakeView();
    view.diskList = [diskOf('/d1')];
    const nodeLog = await opened(t, temporaryFolder(t), 'info', false);
    const { port } = await startApi(t, server, view, {
      setLogLevel: nodeLog.setLevel,
      identity: { address: '127.0.0.1:17310', cluster: 'c', nodeId: 2 },
    });
    t.ok(recorded.length >= 30, `${recorded.length} queries`);
    for (const query of recorded) {
      // Ours has a status page there.
      if (query.target === '/') continue;
      // node:http does not know it (`differences.test.ts`).
      if (query.method === 'FOO' && server.choice === 'node') continue;
      const name = `${query.method} ${query.target}`;
      const seen = await ask(port, query);
      t.equal(seen.status, query.status, name);
      t.equal(seen.location, query.location ?? '', name);
      t.equal(seen.nosniff, query.nosniff ?? false, name);
      if (query.contentType !== '') t.equal(seen.contentType, query.contentType, name);
      if (query.method !== 'HEAD' && SHAPES.has(query.target)) {
        const theirs = JSON.parse(query.body);
        const ours = withoutOurs(JSON.parse(seen.body), theirs);
        t.strictSame(shapeOf(ours), shapeOf(theirs), name);
      } else {
        t.equal(seen.body, query.body, name);
      }
    }
  }),
);
