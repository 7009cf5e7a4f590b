/**
 * The flags of standalone mode: defaults, every flag, and one clear line for a bad one.
 */
import { resolve } from 'node:path';
import t from 'tap';
import { EXTENTD_DEFAULTS } from '../../src/config/config.js';
import {
  addressOfNode,
  parseStandaloneFlags,
  type StandaloneFlags,
} from '../../src/config/standaloneFlags.js';

function accept(...args: string[]): StandaloneFlags {
  const request = parseStandaloneFlags(args);
  if (request.kind !== 'run') throw new Error(JSON.stringify(request));
  return request.flags;
}

t.test('without flags: the addresses and sizes that the documentation promises', async (t) => {
  t.strictSame(accept(), {
    dataFolder: resolve('./data'),
    nodeCount: 1,
    diskCount: 2,
    partitionCount: 8,
    volume: 'demo',
    address: '127.0.0.1',
    port: 17310,
    httpPort: 17320,
    raftHeartbeatPort: 17330,
    raftReplicaPort: 17340,
    masterPort: 17010,
    logLevel: 'info',
    settings: { ...EXTENTD_DEFAULTS, listenAddress: '127.0.0.1', httpAddress: '127.0.0.1' },
  });
});

t.test('every flag changes its field', async (t) => {
  const text =
    '--data /tmp/x --disks 4 --partitions 16 --address 127.0.0.2 --port 1 --http 2 --raft-heartbeat 3 --raft-replica=4 --master 5 ' +
    '--log-level WARN --nodes 1 --set extentd.stallMs=500 --set extentd.spin.mainUs=0 --set extentd.strictAppend=false --set extentd.stallMs=600';
  const flags = accept(...text.split(' '));
  t.match(flags, {
    dataFolder: '/tmp/x',
    diskCount: 4,
    partitionCount: 16,
    address: '127.0.0.2',
    port: 1,
    httpPort: 2,
    raftHeartbeatPort: 3,
    raftReplicaPort: 4,
    masterPort: 5,
    logLevel: 'warn',
  });
  t.match(flags.settings, {
    listenAddress: '127.0.0.2',
    httpAddress: '127.0.0.2',
    stallMs: 600,
    spinMainUs: 0,
    strictAppend: false,
  });
});

t.test('port 0 means any free one, for as many ports as wanted', async (t) => {
  const flags = accept(...'--port 0 --http 0 --raft-heartbeat 0 --raft-replica 0 --master 0'.split(' '));
  t.match(flags, { port: 0, httpPort: 0, raftHeartbeatPort: 0, raftReplicaPort: 0, masterPort: 0 });
});

t.test('addresses of several nodes are counted up from the first', async (t) => {
  t.match(accept('--nodes', '3'), { nodeCount: 3, address: '127.0.0.1' });
  t.equal(accept('--nodes', '2', '--address', '10.0.0.253').nodeCount, 2);
  t.equal(accept('--address', '10.0.0.255').nodeCount, 1, 'one node takes what it is given');
  t.strictSame(
    [0, 1, 2].map((index) => addressOfNode('127.0.0.253', index)),
    ['127.0.0.253', '127.0.0.254', null],
  );
});

t.test('a bad flag is one clear line that names it', async (t) => {
  const cases: [string, RegExp][] = [
    ['--bogus', /^Unknown option '--bogus' \(--help/],
    ['stray', /^Unexpected argument 'stray'/],
    ['--port', /^Option '--port <value>' argument missing/],
    ['--port --http', /'--port'/],
    ['--port 70000', /^--port: must be a port number from 0 to 65535 in digits, not the string "70000"/],
    ['--http x', /^--http: must be a port number/],
    ['--master 17310', /^--master: port 17310 is the port of --port too/],
    ['--disks 0', /^--disks: must be a whole number from 1 to 255/],
    ['--disks 256', /^--disks: /],
    ['--partitions -1', /'--partitions'/],
    ['--partitions 1e3', /^--partitions: must be a whole number/],
    ['--data /a:b', /^--data: the path must not hold a colon/],
    ['--data=', /^--data: must name a folder/],
    ['--address localhost', /^--address: must be the IPv4 address/],
    ['--address 0.0.0.0', /^--address: /],
    ['--log-level loud', /^--log-level: must be debug, info, warn or error/],
    ['--nodes 0', /^--nodes: must be a whole number from 1 to 8/],
    ['--nodes 9', /^--nodes: must be a whole number from 1 to 8/],
    ['--nodes x', /^--nodes: must be a whole number/],
    ['--nodes 3 --address 127.0.0.253', /^--address: leaves no room for the addresses of 3 nodes/],
    ['--nodes 3 --set extentd.listenAddress=0.0.0.0', /^--set extentd.listenAddress: each node has its own/],
    ['--nodes 3 --set extentd.httpAddress=0.0.0.0', /^--set extentd.httpAddress: each node has its own/],
    ['--nodes 3 --set extentd.exporterAddress=::1', /^--set extentd.exporterAddress: each node has its own/],
    ['--set extentd.stallMs=1', /^--set extentd.stallMs: must be a whole number from 100 to 60000/],
    ['--set extentd.stallMs=fast', /^--set extentd.stallMs: .*"fast"/],
    ['--set extentd.strictAppend=1', /^--set extentd.strictAppend: must be true or false/],
    ['--set extentd.bogus=1', /^--set extentd.bogus: there is no such setting/],
    ['--set stallMs=1', /^--set: must be extentd.KEY=VALUE/],
    ['--set extentd.stallMs', /^--set: must be extentd.KEY=VALUE/],
  ];
  for (const [args, expected] of cases) {
    const request = parseStandaloneFlags(args.split(' '));
    t.match(request, { kind: 'error', message: expected }, args);
    if (request.kind === 'error') t.notMatch(request.message, /\n/);
  }
});

t.test('--help names every flag', async (t) => {
  const request = parseStandaloneFlags(['--help', '--port', '1']);
  t.equal(request.kind, 'help');
  const flags =
    'data nodes disks partitions address port http raft-heartbeat raft-replica master log-level set help';
  if (request.kind === 'help') for (const flag of flags.split(' ')) t.match(request.text, `--${flag} `);
});
