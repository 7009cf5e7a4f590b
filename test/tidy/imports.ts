/**
 * Which room may know which (`docs/architecture.md`): the table of allowed imports, and the check of a file against it.
 */
import { posix } from 'node:path';
import type { Finding, SourceFile } from './sources.js';

/**
 * Room → what it may import besides itself and Node's own modules. An entry is a room, or one file of a room where only that file is meant for
 * others. Rooms are folders of `src`, `bench`, and the two files that put everything together.
 */
export const ALLOWED_IMPORTS: Readonly<Record<string, readonly string[]>> = {
  'src/protocol': [],
  'src/config': [],
  'src/shm': [],
  'src/native': [],
  'src/telemetry': ['src/config'],
  'src/cli': ['src/config', 'src/telemetry'],
  'src/storage': ['src/protocol', 'src/native'],
  'src/raft': ['src/protocol', 'src/storage'],
  // Of raft it knows the shapes of an entry's end and of a state machine.
  'src/partition': ['src/protocol', 'src/config', 'src/storage', 'src/raft/types.ts'],
  // Its thread speaks to workers over rings, and to peers over sockets.
  'src/repair': [
    'src/protocol',
    'src/config',
    'src/shm',
    'src/native',
    'src/storage',
    'src/raft',
    'src/partition',
  ],
  // Between peers' sockets and the rings of workers; it knows of raft what both sides of a ring say, of the data port who may connect.
  'src/transport': [
    'src/protocol',
    'src/config',
    'src/shm',
    'src/raft/ports.ts',
    'src/server/portAccess.ts',
    'src/server/receivePath.ts',
  ],
  // The worker owns partitions and hands them their disk; it never reaches into a store or an extent.
  'src/workers': [
    'src/protocol',
    'src/config',
    'src/shm',
    'src/native',
    'src/storage/io.ts',
    'src/storage/diskErrors.ts',
    'src/storage/nativeDisk.ts',
    'src/storage/layout.ts',
    'src/raft',
    'src/partition/messages.ts',
    'src/partition/operation.ts',
    'src/partition/partition.ts',
    'src/partition/raftApply.ts',
    'src/partition/raftGate.ts',
    'src/partition/groupMembers.ts',
    'src/partition/diskLoad.ts',
    'src/partition/diskSpace.ts',
    'src/partition/diskProbe.ts',
    'src/partition/diskLimits.ts',
    'src/partition/debugQuery.ts',
    'src/partition/storeGroup.ts',
    'src/partition/storeHost.ts',
  ],
  'src/control': ['src/protocol', 'src/config'],
  // The metrics are read from shared memory; the rest is asked of main.
  'src/http': [
    'src/protocol',
    'src/config',
    'src/shm',
    'src/control/nodeView.ts',
    'src/repair/messages.ts',
    'src/transport/figures.ts',
  ],
  'src/server': [
    'src/protocol',
    'src/config',
    'src/shm',
    'src/native',
    'src/telemetry',
    'src/raft/ports.ts',
    'src/partition/messages.ts',
    'src/control/nodeView.ts',
    'src/http/messages.ts',
    'src/http/metricsSource.ts',
    'src/repair/messages.ts',
    'src/workers/workerData.ts',
    'src/workers/thread.ts',
    'src/workers/spin.ts',
  ],
  // The tools run the loader's own code on folders; they never meet a node.
  'src/tools': ['src/protocol', 'src/config', 'src/native', 'src/storage', 'src/raft', 'src/partition'],
  // The embedded master is another program in the same process: it meets the node over sockets.
  'src/standalone': [
    'src/protocol',
    'src/config',
    'src/telemetry',
    // What a node's process and its supervisor say to each other.
    'src/cli/daemon.ts',
    'src/control/space.ts',
    'src/http/httpServer.ts',
    'src/partition/diskSpace.ts',
    'src/dataNode.ts',
  ],
  'src/dataNode.ts': ['src'],
  'src/nodeHttp.ts': ['src/config', 'src/http'],
  'src/nodeRaft.ts': [
    'src/config',
    'src/control/registration.ts',
    'src/native',
    'src/server/nodeServer.ts',
    'src/shm',
    'src/telemetry',
    'src/transport',
  ],
  'src/nodeRepair.ts': [
    'src/config',
    'src/control/nodeView.ts',
    'src/http/messages.ts',
    'src/repair',
    'src/server/nodeServer.ts',
    'src/telemetry',
  ],
  'src/program.ts': ['src'],
  'src/main.ts': ['src/cli', 'src/program.ts'],
  // The generator speaks to any node: it shares the codec and the rings with ours, nothing of the node itself.
  bench: ['src/protocol', 'src/shm', 'src/native'],
  // Micro-benchmarks run parts of the node alone: a worker that loads a disk which the benchmark has made, the making of a heartbeat.
  'bench/micro': [
    'src/config/config.ts',
    'src/config/limits.ts',
    'src/protocol',
    'src/control',
    'src/shm',
    'src/native',
    'src/storage/cleanFile.ts',
    'src/storage/extentMeta.ts',
    'src/storage/layout.ts',
    'src/storage/metaFile.ts',
    'src/storage/nativeDisk.ts',
    'src/raft',
    'src/server/nodeMemory.ts',
    'src/server/workerHandle.ts',
    'src/server/workerPort.ts',
    'src/transport',
  ],
};

/** The room a file belongs to, or null where the table does not reach (tests, scripts). */
export function roomOf(path: string): string | null {
  const parts = path.split('/');
  if (parts[0] === 'bench') return parts[1] === 'micro' ? 'bench/micro' : 'bench';
  if (parts[0] !== 'src') return null;
  return parts.length === 2 ? path : `src/${parts[1]}`;
}

/** Relative imports of a file that its room may not have. */
export function findForbiddenImports(file: SourceFile): Finding[] {
  const room = roomOf(file.path);
  if (room === null) return [];
  const allowed = ALLOWED_IMPORTS[room];
  if (allowed === undefined) return [{ line: 0, what: `${room} is not in the table of rooms` }];
  const findings: Finding[] = [];
  for (const [index, line] of file.lines.entries()) {
    const specifier = importedPath(line);
    if (specifier === null) continue;
    const target = posix.join(posix.dirname(file.path), specifier).replace(/\.js$/, '.ts');
    const known = [room, ...allowed].some((entry) => target === entry || target.startsWith(`${entry}/`));
    if (!known) findings.push({ line: index + 1, what: `${room} may not import ${target}` });
  }
  return findings;
}

/** The relative path that a line imports, statically or not; URLs of worker files count. */
function importedPath(line: string): string | null {
  const match =
    /(?:\bfrom|\bimport|\bimport\(|new URL\()\s*['"](\.[^'"]+\.js)['"]/.exec(line) ??
    /^import ['"](\.[^'"]+)['"]/.exec(line);
  return match?.[1] ?? null;
}
