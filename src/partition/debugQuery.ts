/**
 * Answers to the debug API's questions that only a partition's owner knows (`admin.md` 10): its extents, one extent, one extent's block checksums.
 */
import type { ExtentInfo } from '../protocol/extentInfo.js';
import type { CommandAnswer } from './messages.js';
import type { Partition } from './partition.js';
import { allExtents, blockCrcs, extentInfo } from './queries.js';

export interface DebugQuery {
  /** `raft` is answered by the worker. */
  kind: 'partition' | 'extent' | 'block' | 'raft';
  partitionId: number;
  /** Of the kinds `extent` and `block`. */
  extentId: number;
}

/** Answers with the `data` of the HTTP reply; for `partition` with the two fields that main does not have. */
export function answerQuery(partition: Partition, query: DebugQuery): CommandAnswer {
  const { store } = partition;
  const { extentId } = query;
  if (query.kind === 'partition') {
    const extents = allExtents(store).map(wireInfo);
    return { ok: true, value: { extents, tinyDeleteRecordSize: store.tinyDeleteOffset } };
  }
  if (query.kind === 'extent') {
    const info = extentInfo(store, extentId);
    return info === null ? missing(partition, extentId) : { ok: true, value: wireInfo(info) };
  }
  const blocks = blockCrcs(partition.host, store, extentId);
  if (blocks === null) return missing(partition, extentId);
  if (typeof blocks === 'number') {
    const message = `read ${store.crcPath}: ${partition.host.disk.errnoText(blocks)}`;
    return { ok: false, message, httpStatus: 500 };
  }
  return { ok: true, value: blocks };
}

function missing(partition: Partition, extentId: number): CommandAnswer {
  return { ok: false, message: `e extent ${partition.id}_${extentId} not exist`, httpStatus: 500 };
}

/** The record under the wire's keys. */
function wireInfo(info: ExtentInfo): Record<string, number | boolean | string> {
  const { fileId, size, crc, deleted, modTime, source } = info;
  return { fileId, size, Crc: crc, deleted, modTime, src: source };
}
