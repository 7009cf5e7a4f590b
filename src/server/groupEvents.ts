/**
 * What workers tell main of their raft groups: replicas that are gone, other members, groups that do not run, alarms. Into the node's state, so that routes, heartbeats and pages know. Owned by `nodeServer.ts`.
 */
import assert from 'node:assert';
import { EVENT } from '../partition/messages.js';
import type { Alarms } from '../telemetry/alarms.js';
import type { NodeState } from './nodeState.js';
import type { WorkerHandle } from './workerHandle.js';

/** Takes one event of such a kind. */
export function takeGroupEvent(
  state: NodeState,
  alarms: Pick<Alarms, 'raise'>,
  handle: WorkerHandle,
  kind: number,
  value: unknown,
): void {
  switch (kind) {
    case EVENT.detached:
      return state.detach(handle, (value as { id: number }).id);
    case EVENT.members:
      return state.setMembers(handle, value as Parameters<NodeState['setMembers']>[1]);
    case EVENT.raft: {
      const { id, reason } = value as { id: number; reason: string };
      return state.setRaftProblem(handle, id, reason);
    }
    default: {
      assert(kind === EVENT.alarm, 'a known event');
      return alarms.raise((value as { text: string }).text, {}, 'apply');
    }
  }
}
