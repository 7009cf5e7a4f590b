/**
 * Which plan a connection carries out before and in the measured run, by the settings of the run. Pure; asked by `worker.ts`.
 */
import type { Task } from './connection.js';
import { isDelete, isRandomWrite, KIND, KINDS } from './kinds.js';
import { DeletePlan, ExtentFillPlan, type Pieces, TinyWritePlan } from './pieces.js';
import { AppendPlan, KindMix, type Lanes } from './plan.js';
import { Random, ReadPlan } from './readPlans.js';
import { READ_CHUNK_BYTES } from './reply.js';
import { CREATE_BODY_BYTES, DELETE_BODY_BYTES_MAX } from './slots.js';
import type { ConnectionPlan, RunSettings } from './workerMessages.js';

/** A connection's part of the run, and what it has made so far. */
export interface Owner {
  readonly part: ConnectionPlan;
  readonly lanes: Lanes;
  readonly pieces: Pieces;
}

type PhasePlan = Pick<Task, 'plan' | 'bodyBytes'>;

/** Whether its extents are filled before the run: they will be read, or written at random. */
function fills(mix: RunSettings['mix'], part: ConnectionPlan): boolean {
  return part.class === 'read' || mix.some(([kind]) => isRandomWrite(kind));
}

/** Whether a connection makes anything before the run. */
export function needsExtents(mix: RunSettings['mix'], part: ConnectionPlan): boolean {
  const made = ([kind]: readonly [number, number]): boolean =>
    kind === KIND.write || kind === KIND.syncwrite || isDelete(kind);
  return fills(mix, part) || mix.some(made);
}

/** Creates the extents that will be appended to, fills those that will be read or written at random, and makes what will be deleted. */
export function preparingPlan(settings: RunSettings, owner: Owner): PhasePlan {
  const { sizeBytes, extentBytes, fillBytes, mix } = settings;
  const deletes = mix.find(([kind]) => isDelete(kind));
  if (deletes !== undefined) return { plan: deletable(settings, owner, deletes[0]), bodyBytes: sizeBytes };
  const packetsOf128K = Math.floor(Math.min(READ_CHUNK_BYTES, extentBytes) / sizeBytes);
  const packetBytes = sizeBytes * Math.max(1, packetsOf128K);
  const laneBytes = Math.max(packetBytes, Math.floor(fillBytes / packetBytes) * packetBytes);
  const onlyWrites = new KindMix(new Map([[KIND.write, 1]]));
  const filled = fills(mix, owner.part);
  return {
    plan: new AppendPlan(owner.lanes, onlyWrites, packetBytes, filled ? laneBytes : 0),
    bodyBytes: filled ? packetBytes : CREATE_BODY_BYTES,
  };
}

/** Tiny ranges, or filled extents: so many of each connection that may be deleted. */
function deletable(settings: RunSettings, { lanes, pieces }: Owner, kind: number): PhasePlan['plan'] {
  const { sizeBytes, pieceBytes, piecesEach } = settings;
  const fillBytes = Math.ceil(pieceBytes / sizeBytes) * sizeBytes;
  return kind === KIND.tinydelete
    ? new TinyWritePlan(lanes, sizeBytes, pieces, true, piecesEach)
    : new ExtentFillPlan(lanes, pieces, sizeBytes, fillBytes, piecesEach);
}

/** What is measured. */
export function measuredPlan(settings: RunSettings, { part, lanes, pieces }: Owner): PhasePlan {
  const { sizeBytes, mix, randomReads, seed, verify } = settings;
  const own = mix.filter(([kind]) => KINDS[kind]!.class === part.class);
  if (isDelete(own[0]![0])) {
    return { plan: new DeletePlan(pieces, own[0]![0]), bodyBytes: DELETE_BODY_BYTES_MAX };
  }
  const kinds = new KindMix(new Map(own));
  const rewrites = isRandomWrite(own[0]![0]);
  if (part.class === 'append' && !rewrites) {
    const onlyCreates = own.every(([kind]) => kind === KIND.create);
    const endless = Number.POSITIVE_INFINITY;
    const tiny = new TinyWritePlan(lanes, sizeBytes, pieces, verify, endless);
    const plan = new AppendPlan(lanes, kinds, sizeBytes, endless, tiny);
    return { plan, bodyBytes: onlyCreates ? CREATE_BODY_BYTES : sizeBytes };
  }
  const random = randomReads ? new Random(seed + part.index) : null;
  const plan = new ReadPlan(lanes.extents, kinds, sizeBytes, random, rewrites);
  return { plan, bodyBytes: rewrites ? sizeBytes : null };
}
