/**
 * Committed entries carried out on a real store: order, checksums, APPLY, members, snapshots.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { RaftApply } from '../../src/partition/raftApply.js';
import { encodeMemberChange } from '../../src/protocol/memberChange.js';
import { OP } from '../../src/protocol/opcodes.js';
import { CHANGE_TYPE, ENTRY_TYPE, encodeConfigurationChange } from '../../src/protocol/raftStructs.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { decodeMeta, encodeMeta, formatCreateTime, readMeta } from '../../src/storage/metaFile.js';
import { packageRoot } from '../packageRoot.js';
import { Random } from '../sim/random.js';
import { ApplyRig, NODE_ID } from './applyRig.js';
import { ROOT, SimRig } from './simRig.js';
import { NEW_PARTITION, pattern } from './storeRig.js';
import { slotsOf, wrongTrustedSlots } from './trustedSlots.js';

const KiB = 1024;
const CARRIED_OUT = { kind: 'applied', error: null };

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

t.test('a committed write changes its range and nothing else, and the entry ends', async (t) => {
  const rig = ApplyRig.start([300 * KiB]);
  const before = rig.content(1025);
  const body = pattern(5000, 1);
  const index = rig.write({ extentId: 1025, at: 130_000, body });
  rig.run();
  t.same(rig.ends, [{ index, outcome: CARRIED_OUT }]);
  const expected = before.slice();
  expected.set(body, 130_000);
  t.ok(sameBytes(rig.content(1025), expected));
  t.equal(rig.apply.appliedIndex, 1);
  t.equal(rig.apply.durableApplied, 0, 'nothing was saved yet');
});

t.test('size and time of the extent stay, its checksum is not known any more', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  const { table } = rig.partition.store;
  const row = table.find(1025);
  table.crcs[row] = 77;
  const before = [table.sizes[row], table.ends[row], table.modTimes[row], rig.partition.usedBytes];
  rig.rig.simClock.advance(5000);
  rig.write({ extentId: 1025, at: 8 * KiB - 10, body: pattern(10, 1) });
  rig.run();
  t.same([table.sizes[row], table.ends[row], table.modTimes[row], rig.partition.usedBytes], before);
  t.equal(table.crcs[row], 0);
});

t.test('entries of several extents are on their way together, and end in index order', async (t) => {
  const rig = ApplyRig.start(Array.from({ length: 12 }, () => 8 * KiB));
  const contents = new Map(Array.from({ length: 12 }, (_, i) => [1025 + i, rig.content(1025 + i)]));
  const random = new Random(7);
  for (let entry = 0; entry < 300; entry += 1) {
    const extentId = 1025 + random.below(12);
    const body = pattern(1 + random.below(3000), entry);
    const at = random.below(8 * KiB - body.length);
    contents.get(extentId)!.set(body, at);
    rig.write({ extentId, at, body, sync: random.chance(0.2) });
    if (random.chance(0.1)) rig.entry(new Uint8Array(0));
    if (random.chance(0.2)) rig.rig.turn();
  }
  rig.run();
  t.same(
    rig.ends.map(({ index }) => index),
    Array.from({ length: rig.apply.appliedIndex }, (_, i) => i + 1),
  );
  t.ok(rig.ends.every(({ outcome }) => outcome.kind === 'applied' && outcome.error === null));
  for (const [extentId, expected] of contents)
    t.ok(sameBytes(rig.content(extentId), expected), `${extentId}`);
});

t.test('an entry that takes long holds up those of its extent, and no others', async (t) => {
  const rig = ApplyRig.start([8 * KiB, 8 * KiB], { openExtentsMax: 100 });
  rig.run();
  rig.rig.sim.addFault({ call: 'fdatasync', path: /1025$/, hang: true, count: 1 });
  rig.write({ extentId: 1025, at: 0, body: pattern(10, 1), sync: true });
  rig.write({ extentId: 1025, at: 0, body: pattern(10, 2) });
  rig.write({ extentId: 1026, at: 0, body: pattern(10, 3) });
  for (let turn = 0; turn < 20; turn += 1) {
    rig.rig.turn();
    rig.rig.sim.step();
  }
  t.ok(sameBytes(rig.content(1026).subarray(0, 10), pattern(10, 3)), 'the other extent was written');
  t.ok(sameBytes(rig.content(1025).subarray(0, 10), pattern(10, 1)), 'the second write has to wait');
  t.same(rig.ends, [], 'and nothing ends before the first entry');
});

t.test('an entry of a sync write ends behind its fdatasync', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  rig.write({ extentId: 1025, at: 0, body: pattern(10, 1), sync: true });
  rig.rig.turn();
  rig.rig.turn();
  t.same(rig.ends, []);
  const file = rig.rig.sim.node(`${rig.partition.path}/1025`);
  rig.run();
  t.equal(rig.ends.length, 1);
  t.ok(file?.kind === 'file' && file.unsyncedPages().length === 0);
});

t.test('whole blocks have the checksum of the command, others none; a wrong one is not stored', async (t) => {
  const rig = ApplyRig.start([3 * BLOCK_BYTES]);
  const slot = (block: number): number => slotsOf(rig.rig, rig.partition.store, 1025).getUint32(block * 4);
  const body = pattern(BLOCK_BYTES, 5);
  rig.write({ extentId: 1025, at: BLOCK_BYTES, body });
  rig.run();
  t.equal(slot(1), crc32(body));
  rig.write({ extentId: 1025, at: BLOCK_BYTES - 5, body: pattern(10, 6) });
  rig.run();
  t.same([slot(0), slot(1)], [0, 0]);
  rig.write({ extentId: 1025, at: 2 * BLOCK_BYTES, body: pattern(BLOCK_BYTES, 7), crc: 1 });
  rig.run();
  t.equal(slot(2), 0);
  t.ok(
    sameBytes(rig.content(1025).subarray(2 * BLOCK_BYTES), pattern(BLOCK_BYTES, 7)),
    'and written all the same',
  );
  t.match(rig.rig.complaints, ['a random write is not what its checksum says: written without one']);
  t.same(wrongTrustedSlots(rig.rig).wrong, []);
});

t.test('a clean extent is none on disk before a byte of it changes', async (t) => {
  const rig = ApplyRig.start([BLOCK_BYTES]);
  rig.pass(700);
  const { table } = rig.partition.store;
  t.ok(table.has(table.find(1025), EXTENT_FLAG.clean));
  rig.rig.sim.trace.length = 0;
  rig.write({ extentId: 1025, at: 0, body: pattern(10, 1) });
  rig.run();
  const { trace } = rig.rig.sim;
  const synced = trace.indexOf(`fdatasync ${rig.partition.path}/EXTENT_CLEAN`);
  const written = trace.indexOf(`pwrite ${rig.partition.path}/1025 0 10`);
  t.ok(synced >= 0 && synced < written);
  t.notOk(table.has(table.find(1025), EXTENT_FLAG.clean));
});

t.test('a check of checksums that begins while a write is in the batch is worth nothing', async (t) => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const rig = ApplyRig.start([9000], {}, SimRig.start({}, seed));
    rig.pass(700);
    rig.rig.threaded = true;
    rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
    rig.run();
    // The extent is not clean any more, and quiet: the check begins in the turn in which the next write does.
    rig.write({ extentId: 1025, at: 50, body: pattern(100, 2) });
    rig.rig.stores.tick();
    rig.run();
    t.same(wrongTrustedSlots(rig.rig).wrong, [], `seed ${seed}`);
  }
});

t.test('a tiny extent takes random writes inside its watermark, however long', async (t) => {
  const rig = ApplyRig.start([]);
  const sent = rig.rig.sendTinyWrite(pattern(400_000, 1));
  rig.run();
  const { extentId, extentOffset } = sent;
  const body = pattern(300_000, 2);
  rig.write({ extentId, at: extentOffset + 50_000, body });
  rig.write({ extentId, at: extentOffset, body: new Uint8Array(0) });
  rig.run();
  t.same(
    rig.ends.map(({ outcome }) => outcome),
    [CARRIED_OUT, CARRIED_OUT],
  );
  t.ok(sameBytes(rig.content(extentId).subarray(50_000, 350_000), body));
});

t.test('APPLY is saved after ten seconds, behind the sync of what it stands for', async (t) => {
  const rig = ApplyRig.start([8 * KiB, 8 * KiB]);
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  rig.write({ extentId: 1026, at: 0, body: pattern(100, 2) });
  rig.run();
  rig.rig.sim.trace.length = 0;
  rig.pass(9);
  t.notOk(rig.has('APPLY'));
  rig.pass(1);
  t.equal(rig.file('APPLY'), '2');
  t.equal(rig.apply.durableApplied, 2);
  const { trace } = rig.rig.sim;
  const rename = trace.findIndex((line) => line.startsWith('rename') && line.endsWith('APPLY'));
  for (const extent of [1025, 1026]) {
    const synced = trace.indexOf(`fdatasync ${rig.partition.path}/${extent}`);
    t.ok(synced >= 0 && synced < rename, `${extent} is synced before`);
  }
  rig.rig.sim.trace.length = 0;
  rig.pass(30);
  t.same(rig.rig.sim.trace, [], 'nothing is saved again');
});

t.test('a clean stop saves APPLY, and the next start begins there', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  for (let entry = 0; entry < 5; entry += 1)
    rig.write({ extentId: 1025, at: entry, body: pattern(100, entry) });
  rig.run();
  const content = rig.content(1025);
  t.same(rig.rig.stop(), []);
  const next = rig.next(rig.rig.sim.powerLoss(3));
  t.equal(next.file('APPLY'), '5');
  t.same([next.apply.appliedIndex, next.apply.durableApplied], [5, 5]);
  t.ok(sameBytes(next.content(1025), content));
});

/** Content of a file that the reference has written. */
function recorded(name: string): string {
  const path = join(packageRoot, 'test/vectors/raft/data_node.json');
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as { name: string; hex: string }[];
  return vectors.find((vector) => vector.name === name)!.hex;
}

t.test('META after a member change has the bytes that the reference writes', async (t) => {
  const hex = recorded('partition_META');
  const after = decodeMeta(Buffer.from(hex, 'hex'));
  if (!after.ok) throw new Error(after.message);
  const { volume, partitionId, sizeBytes, createTime, peers, hosts } = after.value;
  t.equal(Buffer.from(encodeMeta(after.value)).toString('hex'), hex);
  // The last member comes by a change, at the second that is recorded.
  const rig = SimRig.start();
  rig.simClock.jumpTo(new Date(createTime.replace(' ', 'T')).getTime());
  const added = peers.find(({ addr }) => addr === hosts.at(-1))!;
  const members = peers.filter((peer) => peer !== added);
  const request = {
    ...{ partitionId, sizeBytes, volume, members, hosts: hosts.slice(0, -1) },
    createType: 0 as const,
  };
  const partition = rig.create(ROOT, request);
  const opened = RaftApply.open(rig.stores, partition, 3, {
    changed: () => 0,
    removedHere: () => 0,
    halted: () => 0,
  });
  if (!opened.ok) throw new Error(opened.message);
  const context = encodeMemberChange({ addPeer: added, partitionId, removePeer: { id: 0, addr: '' } });
  const change = { type: CHANGE_TYPE.add, peer: { type: 0, priority: 0, nodeId: added.id }, context };
  const entry = {
    type: ENTRY_TYPE.configurationChange,
    term: 1,
    index: 1,
    data: encodeConfigurationChange(change),
  };
  opened.value.apply(entry, () => undefined);
  rig.run();
  const meta = Buffer.from(rig.sim.content(`${partition.path}/META`)).toString();
  const expected = encodeMeta({ ...after.value, lastTruncateId: 0 });
  t.equal(meta, expected);
});

t.test('APPLY has the bytes that the reference writes', async (t) => {
  const hex = recorded('partition_APPLY');
  const rig = ApplyRig.start([]);
  rig.apply.resumeAt(4241);
  rig.entry(new Uint8Array(0));
  rig.pass(10);
  t.equal(Buffer.from(rig.file('APPLY')).toString('hex'), hex);
});

function memberEntry(rig: ApplyRig, type: number, add: number, remove: number): number {
  const peer = (id: number): { id: number; addr: string } => ({
    id,
    addr: id === 0 ? '' : `10.0.0.${id}:17310`,
  });
  const context = encodeMemberChange({ addPeer: peer(add), partitionId: 7, removePeer: peer(remove) });
  const change = { type, peer: { type: 0, priority: 0, nodeId: add + remove }, context };
  return rig.entry(encodeConfigurationChange(change), ENTRY_TYPE.configurationChange);
}

t.test('a member change is in META when its entry ends, and makes a partition a normal one', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  rig.partition.createType = 1;
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  memberEntry(rig, CHANGE_TYPE.add, 5, 0);
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 2) });
  rig.run();
  t.equal(rig.apply.appliedIndex, 3);
  const expected = {
    peers: [...NEW_PARTITION.members, { id: 5, addr: '10.0.0.5:17310' }],
    hosts: [...NEW_PARTITION.hosts, '10.0.0.5:17310'],
    createType: 0,
    lastTruncateId: 0,
    createTime: formatCreateTime(rig.rig.simClock.nowMs()),
  };
  const saved = readMeta(rig.rig.sim.powerLoss(1), rig.partition.path);
  t.match(saved, { ok: true, value: expected });
  t.match(rig.partition, { hosts: expected.hosts, peers: expected.peers, createType: 0 });
  t.same(rig.members, ['changed']);
  memberEntry(rig, CHANGE_TYPE.add, 5, 0);
  rig.entry(Buffer.from('no change'), ENTRY_TYPE.configurationChange);
  rig.run();
  t.same(rig.members, ['changed'], 'what is so already, or cannot be read, changes nothing');
  t.equal(rig.apply.appliedIndex, 5);
  t.match(rig.rig.complaints.at(-1), /^a member change cannot be read, nothing changes: /);
});

t.test('the removal of this node is told, and META stays', async (t) => {
  const rig = ApplyRig.start([]);
  const before = rig.file('META');
  const index = memberEntry(rig, CHANGE_TYPE.remove, 0, 2);
  rig.run();
  t.same([rig.members, rig.outcomeOf(index)], [['removed here'], CARRIED_OUT]);
  t.equal(rig.file('META'), before);
});

t.test('a META that cannot be written holds up everything behind the change, until it can', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  rig.rig.sim.addFault({ call: 'rename', path: /\.meta/, errno: 28, count: 2 });
  memberEntry(rig, CHANGE_TYPE.add, 5, 0);
  rig.write({ extentId: 1025, at: 0, body: pattern(10, 1) });
  rig.run();
  t.same([rig.ends, rig.partition.hosts.length], [[], 1]);
  rig.pass(1);
  t.same(rig.ends, []);
  rig.pass(1);
  t.same([rig.apply.appliedIndex, rig.partition.hosts.length, rig.members], [2, 2, ['changed']]);
});

t.test(
  'a snapshot moves the applied index, asks for a comparison, and both are durable when it ends',
  async (t) => {
    const rig = ApplyRig.start([8 * KiB]);
    rig.write({ extentId: 1025, at: 0, body: pattern(100, 1), sync: true });
    rig.apply.restore({ index: 900, term: 3, peers: [] }, (outcome) =>
      rig.ends.push({ index: 900, outcome }),
    );
    const late = rig.entry(new Uint8Array(0), ENTRY_TYPE.normal, 901);
    rig.run();
    t.same(
      rig.ends.map(({ index }) => index),
      [1, 900, late],
    );
    t.same([rig.apply.durableApplied, rig.apply.missing.compareFrom], [900, 900]);
    for (let seed = 1; seed < 10; seed += 1) {
      const next = rig.next(rig.rig.sim.withRoot(rig.rig.sim.rootFolder, seed).powerLoss(seed));
      t.same([next.apply.appliedIndex, next.apply.missing.compareFrom], [900, 900]);
    }
    rig.apply.compareAll();
    rig.apply.missing.copied(1025, 0, 8 * KiB, 901);
    rig.pass(11);
    const next = rig.next(rig.rig.sim.powerLoss(11));
    t.same(
      [next.apply.appliedIndex, next.apply.missing.compareFrom],
      [901, 0],
      'after the comparison it is asked for no more',
    );
  },
);

t.test('a log that goes on elsewhere: lower is applied again, higher asks for a comparison', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  for (let entry = 0; entry < 5; entry += 1) rig.write({ extentId: 1025, at: 0, body: pattern(100, entry) });
  rig.pass(11);
  const lower = rig.next(rig.rig.sim.withRoot(rig.rig.sim.rootFolder, 1).processEnd(1));
  lower.apply.resumeAt(3);
  lower.write({ extentId: 1025, at: 0, body: pattern(100, 77) });
  lower.pass(11);
  t.same([lower.file('APPLY'), lower.apply.missing.compareFrom], ['4', 0]);
  const higher = rig.next(lower.rig.sim.processEnd(2));
  higher.apply.resumeAt(10);
  t.equal(higher.apply.missing.compareFrom, 10);
  higher.pass(11);
  const next = rig.next(higher.rig.sim.powerLoss(3));
  t.same([next.apply.appliedIndex, next.apply.missing.compareFrom], [10, 10]);
});

t.test('what the leader would not carry out it does not propose', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  const write = { extentId: 1025, extentOffset: 0, sizeBytes: 100, crc: 1, bodyCrc: 1 };
  t.equal(rig.apply.proposalRefusal(write), null);
  t.equal(rig.apply.proposalRefusal({ ...write, extentId: 1026 }), 'extent does not exist');
  t.ok(rig.rig.send({ opcode: OP.markDelete, extentId: 1025 }));
  rig.run();
  t.equal(rig.apply.proposalRefusal(write), 'extent does not exist');
  rig.rig.health.space.exhaust();
  t.equal(rig.apply.proposalRefusal(write), 'partition(7) disk(/d) err(no space left on device)');
  rig.rig.health.status = -1;
  t.equal(rig.apply.proposalRefusal(write), 'disk has broken');
});

t.test('members that a snapshot tells are in META, durably, before it is taken', async (t) => {
  const rig = ApplyRig.start([]);
  const peers = [NODE_ID, 9].map((nodeId) => ({ type: 0, priority: 0, nodeId }));
  t.equal(rig.apply.keepMembers(peers), null);
  t.equal(rig.apply.keepMembers(peers), null, 'again: nothing to do');
  t.same(rig.members, ['changed']);
  const next = rig.next(rig.rig.sim.powerLoss(1));
  t.same(
    next.partition.peers.map(({ id }) => id),
    [NODE_ID, 9],
  );
  rig.rig.sim.addFault({ call: 'pwrite', path: /meta/i, errno: 28, count: 1 });
  t.match(rig.apply.keepMembers(peers.slice(0, 1)), /write .*META: no space left/);
  t.equal(rig.partition.peers.length, 2);
});
