/**
 * How scripts print messages, entries and states: one line each, in the words of the specification. An entry is `index/term`.
 */
import { decodeHeartbeatContext } from '../../src/protocol/heartbeatContext.js';
import { RAFT_MESSAGE, type RaftMessage } from '../../src/protocol/raftMessage.js';
import {
  CHANGE_TYPE,
  decodeConfigurationChange,
  ENTRY_TYPE,
  type RaftEntry,
} from '../../src/protocol/raftStructs.js';
import type { RaftCore } from '../../src/raft/core.js';
import type { CoreOutput } from '../../src/raft/types.js';

const NAMES: Readonly<Record<number, string>> = {
  [RAFT_MESSAGE.appendRequest]: 'append',
  [RAFT_MESSAGE.voteRequest]: 'vote request',
  [RAFT_MESSAGE.heartbeatRequest]: 'heartbeat',
  [RAFT_MESSAGE.snapshot]: 'snapshot',
  [RAFT_MESSAGE.electionAckRequest]: 'election ack request',
  [RAFT_MESSAGE.appendResponse]: 'append answer',
  [RAFT_MESSAGE.voteResponse]: 'vote',
  [RAFT_MESSAGE.heartbeatResponse]: 'heartbeat answer',
  [RAFT_MESSAGE.electionAckResponse]: 'election ack',
  [RAFT_MESSAGE.leaseOffline]: 'lease offline',
  [RAFT_MESSAGE.leaseTimeout]: 'lease timeout',
  [RAFT_MESSAGE.checkQuorumRequest]: 'quorum check',
  [RAFT_MESSAGE.checkQuorumResponse]: 'quorum check answer',
};

export function endText(index: number, term: number): string {
  return `${index}/${term}`;
}

export function entryText(entry: RaftEntry): string {
  return `${endText(entry.index, entry.term)} ${dataText(entry)}`;
}

function dataText({ type, data }: RaftEntry): string {
  if (type !== ENTRY_TYPE.configurationChange)
    return data.length === 0 ? '(empty)' : Buffer.from(data).toString();
  const change = decodeConfigurationChange(data);
  if (!change.ok) return '(unreadable change)';
  const word = Object.entries(CHANGE_TYPE).find(([, value]) => value === change.value.type)?.[0];
  return `(${word} ${change.value.peer.nodeId})`;
}

/** The fields that the type uses. */
function fieldsText(message: RaftMessage): string[] {
  const { index, logTerm, commit, entries, reject, rejectIndex, snapshot } = message;
  switch (message.type) {
    case RAFT_MESSAGE.appendRequest:
      return [
        `behind ${endText(index, logTerm)}`,
        `commit ${commit}`,
        ...(entries.length > 0 ? [entries.map(entryText).join(', ')] : []),
      ];
    case RAFT_MESSAGE.voteRequest:
      return [`log ends at ${endText(index, logTerm)}`, ...(message.forceVote ? ['forced'] : [])];
    case RAFT_MESSAGE.leaseTimeout:
      return message.forceVote ? ['forced'] : [];
    case RAFT_MESSAGE.appendResponse:
      return reject
        ? [`refused behind ${index}`, `log ends at ${rejectIndex}`, `commit ${commit}`]
        : [`has ${index}`, `commit ${commit}`];
    case RAFT_MESSAGE.voteResponse:
      return [reject ? 'refused' : 'granted'];
    case RAFT_MESSAGE.snapshot: {
      const { index: at, term, peers } = snapshot!;
      return [`at ${endText(at, term)}`, `members ${peers.map(({ nodeId }) => nodeId).join(' ')}`];
    }
    case RAFT_MESSAGE.checkQuorumRequest:
    case RAFT_MESSAGE.checkQuorumResponse:
      return [`index ${index}`];
    case RAFT_MESSAGE.heartbeatRequest:
    case RAFT_MESSAGE.heartbeatResponse: {
      const groups = decodeHeartbeatContext(message.context);
      return [`groups ${groups.ok ? groups.value.join(' ') : groups.message}`];
    }
    default:
      return [];
  }
}

/** One line. */
export function messageText(message: RaftMessage): string {
  const { type, from, to, term } = message;
  const fields = [...(term > 0 ? [`term ${term}`] : []), ...fieldsText(message)];
  return `${from} -> ${to} ${NAMES[type] ?? `type ${type}`}: ${fields.join(', ')}`;
}

/** What an output asks for. Messages that wait for the disk are marked by `when durable`. */
export function outputTexts(id: number, output: CoreOutput): string[] {
  const { reset, entries, hardState } = output;
  const lines: string[] = [];
  if (reset !== null)
    lines.push(`${id} empties its log for a snapshot at ${endText(reset.index, reset.term)}`);
  if (entries.length > 0) lines.push(`${id} stores ${entries.map(entryText).join(', ')}`);
  if (hardState !== null) {
    const { term, vote, commit } = hardState;
    lines.push(
      `${id} stores term ${term}, vote ${vote}, commit ${commit}${output.mustSync ? '' : ' (no sync)'}`,
    );
  }
  for (const message of output.messages) lines.push(messageText(message));
  for (const message of output.messagesAfter) lines.push(`${messageText(message)} (when durable)`);
  return lines;
}

/** State, term and leader. */
export function roleText({ state, term, leader, mayVote }: RaftCore): string {
  const withLeader = state === 'follower' ? ` of ${leader === 0 ? 'nobody' : leader}` : '';
  return `${state}${withLeader} in term ${term}${mayVote ? '' : ', without a vote'}`;
}

/** Two lines and more: the node, and of a leader each replica. */
export function statusTexts(core: RaftCore): string[] {
  const { log } = core;
  const { state, term, leader, vote, commit, applied, replicas, restoringSnapshot } = core.status();
  const lines = [
    `${core.nodeId} ${state}, term ${term}, leader ${leader}, vote ${vote}, members ${core
      .members()
      .map(({ nodeId }) => nodeId)
      .join(' ')}`,
    `  log ${log.firstIndex} to ${endText(log.lastIndex, log.lastTerm)}, durable ${log.durable}, commit ${commit}, applied ${applied}${
      restoringSnapshot ? ', restoring a snapshot' : ''
    }`,
  ];
  for (const replica of replicas ?? []) {
    const flags = [
      ...(replica.paused ? ['paused'] : []),
      ...(replica.active ? ['active'] : []),
      ...(replica.inflight > 0 ? [`${replica.inflight} under way`] : []),
      ...(replica.heardTicksAgo > 0 ? [`heard ${replica.heardTicksAgo} ticks ago`] : []),
    ];
    lines.push(
      `  ${replica.nodeId} ${replica.state}, match ${replica.match}, next ${replica.next}, commit ${replica.commit}${flags
        .map((flag) => `, ${flag}`)
        .join('')}`,
    );
  }
  return lines;
}
