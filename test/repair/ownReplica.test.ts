/** What a replica tells of its raft group, for a vote on contents. */
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { OwnReplica } from '../../src/repair/ownReplica.js';
import type { WorkerAnswer, WorkerPorts, WorkerQuestion } from '../../src/repair/workerPorts.js';

const NOTHING = { body: new Uint8Array(0), crc: 0, extentId: 0 };

function replica(durable: number, applied: number, leads: number): OwnReplica {
  const ask = (_worker: number, { opcode }: WorkerQuestion): Promise<WorkerAnswer> => {
    t.equal(opcode, INTERNAL_OP.raftState);
    return Promise.resolve({ ...NOTHING, extentOffset: durable, remainingBytes: applied, holeBytes: leads });
  };
  return new OwnReplica({ ask } as WorkerPorts, 0, 7);
}

t.test(
  'the applied index of a vote is the one in memory: peers tell what they have made durable, and may have applied more',
  async (t) => {
    t.equal(await replica(12, 12, 0).appliedId(), 12);
    t.equal(await replica(0, 0, 1).appliedId(), 0, 'a new group has applied nothing, which is known');
    t.equal(
      await replica(12, 13, 1).appliedId(),
      13,
      'whose bytes are as of 12 may be older than what is here',
    );
    t.equal(await replica(-1, 0, 0).appliedId(), null, 'no group runs');
    const rest = { missing: 0, wantsComparison: false };
    t.same(await replica(12, 13, 1).raftState(), { durable: 12, applied: 13, isLeader: true, ...rest });
  },
);
