/**
 * What the disks of a simulated cluster hold at first: a partition with its extents, and an empty journal. Made once, through the production code, and imaged for each node.
 */
import assert from 'node:assert';
import type { RaftMessage } from '../../../src/protocol/raftMessage.js';
import { readMeta, writeMeta } from '../../../src/storage/metaFile.js';
import { SimRig } from '../../partition/simRig.js';
import { wholeImage } from '../../sim/crashImages.js';
import { Random } from '../../sim/random.js';
import { SimClock } from '../../sim/simClock.js';
import { SimDisk } from '../../sim/simDisk.js';
import type { SimFolder } from '../../sim/simFolder.js';
import { DISK_ROOT, nodeRegions, SimNode } from './simNode.js';

/** Two that every node has, and one that some have only a part of, or not at all. */
export const EXTENTS = { first: 1025, second: 1026, uneven: 1027 } as const;
export const EXTENT_IDS: readonly number[] = Object.values(EXTENTS);
/** Of each. */
export const EXTENT_BYTES = 8192;

/** What a node has of the uneven extent. */
export type Share = 'whole' | 'part' | 'none';
const SHARE_BYTES: Record<Share, number> = { whole: EXTENT_BYTES, part: EXTENT_BYTES / 2, none: 0 };

const made = new Map<Share, SimFolder>();

/** A new disk's root with a partition of these members. */
export function newRoot(share: Share, members: readonly number[]): SimFolder {
  const template = made.get(share) ?? makeTemplate(share);
  made.set(share, template);
  const root = wholeImage(template);
  const disk = new SimDisk({ regions: [] }, root);
  const path = partitionPath(disk);
  const meta = readMeta(disk, path);
  assert(meta.ok, 'the template has META');
  const peers = members.map((id) => ({ id, addr: addressOf(id) }));
  const hosts = peers.map(({ addr }) => addr);
  assert(writeMeta(disk, path, { ...meta.value, peers, hosts }) === 0, 'META is written');
  return root;
}

/** Service address of a node. */
export function addressOf(id: number): string {
  return `10.0.0.${id}:17310`;
}

/** The folder of the one partition. */
export function partitionPath(disk: SimDisk): string {
  const root = disk.scan(DISK_ROOT);
  const folder = typeof root === 'number' ? undefined : root.find(({ name }) => name.startsWith('datap'));
  assert(folder !== undefined, 'the disk has a partition');
  return `${DISK_ROOT}/${folder.name}`;
}

function makeTemplate(share: Share): SimFolder {
  const rig = SimRig.start();
  const members = [1, 2].map((id) => ({ id, addr: addressOf(id) }));
  rig.create(DISK_ROOT, { members, hosts: members.map(({ addr }) => addr) });
  for (const extentId of EXTENT_IDS) {
    const bytes = extentId === EXTENTS.uneven ? SHARE_BYTES[share] : EXTENT_BYTES;
    if (bytes === 0) continue;
    const created = rig.sendCreate({ extentId, remainingFollowers: 0 });
    rig.run();
    const written = rig.sendSyncWrite(extentId, 0, new Uint8Array(bytes));
    rig.run();
    assert(created.ok && written.ok, created.error + written.error);
  }
  assert.deepEqual(rig.stop(), [], 'the template is whole');
  return withJournal(rig.sim.rootFolder);
}

/** After one start, which has made the journal and the folder of the log. */
function withJournal(root: SimFolder): SimFolder {
  const ignore = (): void => undefined;
  const events = {
    ...{ resumed: ignore, handedOver: ignore, restored: ignore, started: ignore, snapshotVerdict: ignore },
    ...{ groupFailed: ignore, removed: ignore, log: ignore, send: (_message: RaftMessage) => undefined },
  };
  const node = new SimNode(1, wholeImage(root), nodeRegions(), new SimClock(), new Random(1), events);
  assert.equal(node.start(), null, 'a node starts on the template');
  for (let step = 0; step < 1000; step += 1) {
    const problems = node.stopStep();
    if (problems === null) {
      node.disk.step();
      continue;
    }
    assert.deepEqual(problems, [], 'the node stops');
    return wholeImage(node.disk.rootFolder);
  }
  return assert.fail('the node does not stop');
}
