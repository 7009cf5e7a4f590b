/**
 * Changes of members that main asks this worker for (docs/raftNode.md, Membership): carried out where the group is led, else answered with who leads. One at a time in each group, in the order in which they came,
 * so that each is decided on what the one before has made. Owned by `RaftGroups`.
 */
import type { CommandAnswer, MemberCommand, MemberOutcome } from '../partition/messages.js';
import { type DownMember, ERROR_TEXT } from '../protocol/errors.js';
import { type ConfigurationChange, encodeConfigurationChange } from '../protocol/raftStructs.js';
import { decideChange } from './memberDecision.js';
import { RAFT_TICK_MS, type WorkerGroup } from './raftGroup.js';

/** Changes of one group that may be here at a time. Main's answers have a deadline, a change that waits for a majority has none. */
const ASKED_MAX = 16;

/** Told once. */
type Answer = (answer: CommandAnswer) => void;

interface Asked {
  readonly command: MemberCommand;
  readonly answer: Answer;
}

export class MemberChanges {
  private readonly groupOf: (id: number) => WorkerGroup | undefined;
  /** By partition, the one under way first. */
  private readonly asked = new Map<number, Asked[]>();

  constructor(groupOf: (id: number) => WorkerGroup | undefined) {
    this.groupOf = groupOf;
  }

  /** Carries out a change, or says who is to be asked: MemberOutcome. */
  ask(command: MemberCommand, answer: Answer): void {
    const { partitionId } = command.change;
    const waiting = this.asked.get(partitionId) ?? [];
    if (waiting.length >= ASKED_MAX) return answer({ ok: false, message: ERROR_TEXT.tryAgain });
    waiting.push({ command, answer });
    this.asked.set(partitionId, waiting);
    if (waiting.length === 1) this.begin(partitionId);
  }

  /** The group of a partition is to campaign, unless it leads: `raft.md` 5.9. */
  tryToLead(id: number): CommandAnswer {
    const group = this.groupOf(id);
    if (group === undefined || group.failure !== null)
      return { ok: false, message: ERROR_TEXT.raftNotExists };
    if (!group.isLeader) group.campaign();
    return { ok: true, value: null };
  }

  private begin(id: number): void {
    const group = this.groupOf(id);
    const { command } = this.asked.get(id)![0]!;
    if (group === undefined || group.failure !== null) return this.end(id, ERROR_TEXT.noRaftLeader);
    if (!group.isLeader && !group.isSole) return this.passOn(id, group);
    group.confirmLead((problem) => {
      if (problem === ERROR_TEXT.notRaftLeader) return this.passOn(id, group);
      if (problem !== null) return this.end(id, problem);
      const decision = decideChange(command, { peers: group.partition.peers, down: downMembers(group) });
      if (!decision.ok) return this.end(id, decision.message);
      this.propose(id, group, decision.changes);
    });
  }

  private propose(id: number, group: WorkerGroup, [next, ...later]: readonly ConfigurationChange[]): void {
    if (next === undefined) return this.end(id, null);
    group.proposeChange(encodeConfigurationChange(next), (problem) => {
      if (problem === null) this.propose(id, group, later);
      else this.end(id, problem);
    });
  }

  private passOn(id: number, { otherLeader }: WorkerGroup): void {
    this.end(id, otherLeader === '' ? ERROR_TEXT.noRaftLeader : null, otherLeader);
  }

  /** The change under way has ended with a text, or with null and who is to be asked instead. The next one begins. */
  private end(id: number, problem: string | null, leader = ''): void {
    const waiting = this.asked.get(id)!;
    const { answer } = waiting.shift()!;
    const outcome: MemberOutcome = { leader };
    answer(problem === null ? { ok: true, value: outcome } : { ok: false, message: problem });
    if (waiting.length > 0) this.begin(id);
    else this.asked.delete(id);
  }
}

/** Who counts as down before a removal: who was not heard, and who may be without a vote because it has not acknowledged anything of this leader. */
function downMembers({ core }: WorkerGroup): DownMember[] {
  if (core === null) return [];
  const silent = core.downReplicas().map(({ nodeId, downTicks }) => ({
    id: nodeId,
    downSeconds: Math.floor((downTicks * RAFT_TICK_MS) / 1000),
  }));
  const behind = core.behindReplicas().filter((id) => !silent.some((one) => one.id === id));
  return [...silent, ...behind.map((id) => ({ id, downSeconds: 0 }))];
}
