/**
 * Decides one call to the master: which candidate is asked next and what an answer means (`admin.md` 4). Pure: `masterClient.ts` does the I/O.
 *
 * A call goes through its candidates until one answers with status 200. Unlike the reference, a 403 does not repeat the call for ever.
 */

/** How often a call is made again from its first candidate because of a 403. */
export const REPEATS_MAX = 3;

/**
 * Outcome of a call. `message` is the reference's text, `detail` says for the log what the last candidate did. `refused` is the master's own
 * answer, the other kinds are worth another try later.
 */
export type MasterOutcome =
  | { ok: true; data: unknown }
  | { ok: false; kind: 'noMaster' | 'refused' | 'undecodable' | 'aborted'; message: string; detail: string };

/** What came of one try: an HTTP reply, or no usable reply at all. */
export type TryResult = { kind: 'reply'; status: number; body: string } | { kind: 'failed'; reason: string };

/** Progress of a call: the candidates in order, the one being asked, 403 repeats so far, and why the last candidate was of no use. */
export interface CallState {
  readonly candidates: readonly string[];
  readonly index: number;
  readonly repeats: number;
  readonly lastFailure: string;
}

/** What follows a try. `leader`: the host that answered 200, to be asked first from now on. */
export type Decision =
  | { kind: 'try'; host: string; state: CallState }
  | { kind: 'done'; leader: string | null; outcome: MasterOutcome };

/** Starts a call: last known leader first (null: the last configured master), then every configured master in order. */
export function startCall(masters: readonly string[], leader: string | null): Decision {
  const first = leader ?? masters.at(-1);
  if (first === undefined) return noMaster('');
  const state: CallState = { candidates: [first, ...masters], index: 0, repeats: 0, lastFailure: '' };
  return { kind: 'try', host: first, state };
}

/** What to do after the try of the current candidate of `state`. */
export function afterTry(state: CallState, result: TryResult): Decision {
  const host = state.candidates[state.index]!;
  if (result.kind === 'failed') return nextCandidate(state, `${host}: ${result.reason}`);
  if (result.status === 200) return { kind: 'done', leader: host, outcome: readEnvelope(result.body) };
  if (result.status === 403) return repeat(state, host, result.body);
  return nextCandidate(state, `${host}: status ${result.status} ${excerpt(result.body)}`);
}

function nextCandidate(state: CallState, lastFailure: string): Decision {
  const index = state.index + 1;
  const host = state.candidates[index];
  if (host === undefined) return noMaster(lastFailure);
  return { kind: 'try', host, state: { ...state, index, lastFailure } };
}

/** Older masters answer 403 with the leader's address as text; empty: there is none. The whole call is made again. */
function repeat(state: CallState, host: string, body: string): Decision {
  const lastFailure = `${host}: status 403 ${excerpt(body)}`;
  if (body.trim() === '' || state.repeats === REPEATS_MAX) return noMaster(lastFailure);
  const first = state.candidates[0]!;
  return { kind: 'try', host: first, state: { ...state, index: 0, repeats: state.repeats + 1, lastFailure } };
}

function noMaster(lastFailure: string): Decision {
  const outcome: MasterOutcome = {
    ok: false,
    kind: 'noMaster',
    message: 'no valid master',
    detail: lastFailure,
  };
  return { kind: 'done', leader: null, outcome };
}

/** Reads `{"code","msg","data"}` (`admin.md` 4.1). A missing code counts as 0, as a Go decoder has it. */
export function readEnvelope(body: string): MasterOutcome {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    return undecodable((error as Error).message);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return undecodable('not an object');
  const { code = 0, msg = '', data = null } = value as Record<string, unknown>;
  if (!Number.isInteger(code)) return undecodable('code is not a number');
  if (code !== 0) {
    const message = `request error, code[${code}], msg[${String(msg)}]`;
    return { ok: false, kind: 'refused', message, detail: '' };
  }
  return { ok: true, data };
}

function undecodable(reason: string): MasterOutcome {
  return { ok: false, kind: 'undecodable', message: `unmarshal response body err:${reason}`, detail: '' };
}

function excerpt(body: string): string {
  return JSON.stringify(body.trim().slice(0, 120));
}
