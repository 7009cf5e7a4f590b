/**
 * Decides one call to the master: which candidate is asked next and what an answer means (`admin.md` 4). Pure: `masterClient.ts` does the I/O.
 *
 * A call goes through its candidates until one answers with status 200 and an envelope. Unlike the reference, a 403 does not repeat the call for ever; a host that
 * kept silent is not asked a second time in the same call, since two time-outs of 30 s are a third of what a master waits for a heartbeat; and a server that says 200 and is
 * no master neither ends the call nor becomes the leader.
 */

/** How often one call follows a 403 that names the leader, or a redirect. */
export const DETOURS_MAX = 3;

/**
 * Outcome of a call. `message` is the reference's text, `detail` says for the log what the last candidate did. `refused` is the master's own
 * answer, with its code (`admin.md` 4.1); the other kinds are worth another try later.
 */
export type MasterOutcome =
  | { ok: true; data: unknown }
  | { ok: false; kind: 'refused'; code: number; message: string; detail: string }
  | { ok: false; kind: 'noMaster' | 'undecodable' | 'aborted'; message: string; detail: string };

/**
 * What came of one try: an HTTP reply, or no usable reply at all. `redirect`: where the reply sends the request (`redirectOf`). `isSilent`: the host used up its
 * time.
 */
export type TryResult =
  | { kind: 'reply'; status: number; body: string; redirect: string | null }
  | { kind: 'failed'; reason: string; isSilent: boolean };

/**
 * Progress of a call: the candidates in order, the one being asked, detours so far, hosts that kept silent, why the last one was of no use, and what is told if
 * nobody is.
 */
export interface CallState {
  readonly candidates: readonly string[];
  readonly index: number;
  readonly detours: number;
  readonly silent: readonly string[];
  readonly lastFailure: string;
  readonly undecodable: MasterOutcome | null;
}

/**
 * What follows a try: ask `host` (at `url`, where it was redirected to; null: at the request's own path), or the end. `leader`: the host that answered 200, to be
 * asked first from now on.
 */
export type Decision = { kind: 'try'; host: string; url: string | null; state: CallState } | Done;

interface Done {
  kind: 'done';
  leader: string | null;
  outcome: MasterOutcome;
}

/**
 * Starts a call: last known leader first (null: the last configured master), then every configured master in order. `hanging`: hosts that another call has waited for in vain; they are
 * asked when nobody else is left, so that one master that hangs does not cost every call its time-out.
 */
export function startCall(
  masters: readonly string[],
  leader: string | null,
  hanging: ReadonlySet<string> = new Set(),
): Decision {
  const usual = leader ?? masters.at(-1);
  if (usual === undefined) return done(noMaster('no master is configured'));
  const inOrder = [usual, ...masters];
  const candidates = [
    ...inOrder.filter((host) => !hanging.has(host)),
    ...inOrder.filter((host) => hanging.has(host)),
  ];
  const first = candidates[0]!;
  const state: CallState = {
    candidates,
    index: 0,
    detours: 0,
    silent: [],
    lastFailure: '',
    undecodable: null,
  };
  return { kind: 'try', host: first, url: null, state };
}

/** What to do after the try of the current candidate of `state`. */
export function afterTry(state: CallState, result: TryResult): Decision {
  const host = state.candidates[state.index]!;
  if (result.kind === 'failed') {
    const silent = result.isSilent ? [...state.silent, host] : state.silent;
    return nextCandidate({ ...state, silent }, `${host}: ${result.reason}`);
  }
  const { status, body, redirect } = result;
  if (status === 200) return afterEnvelope(state, host, readEnvelope(body));
  const failure = `${host}: status ${status} ${excerpt(body)}`;
  if (status === 403 && body.trim() === '') return done(noMaster(failure));
  if (state.detours < DETOURS_MAX) {
    if (status === 403) return askNamed(state, body.trim(), failure);
    if (redirect !== null) return follow(state, redirect, failure);
  }
  return nextCandidate(state, failure);
}

/** The outcome of a call that was given up because it took too long in all. */
export function outOfTime(state: CallState, timeoutMs: number): MasterOutcome {
  return noMaster(`${state.lastFailure}; the call has taken ${timeoutMs} ms`);
}

function afterEnvelope(state: CallState, host: string, outcome: MasterOutcome): Decision {
  if (outcome.ok || outcome.kind !== 'undecodable') return { kind: 'done', leader: host, outcome };
  const failure = `${host}: ${outcome.message}`;
  return nextCandidate({ ...state, undecodable: { ...outcome, detail: host } }, failure);
}

/** Older masters answer 403 with the leader's address as text. It is asked next where it is a configured one; nobody else can send the node elsewhere. */
function askNamed(state: CallState, leader: string, lastFailure: string): Decision {
  if (!state.candidates.includes(leader) || state.silent.includes(leader))
    return nextCandidate(state, lastFailure);
  return detour(state, leader, null, lastFailure);
}

function follow(state: CallState, url: string, lastFailure: string): Decision {
  const { host } = new URL(url);
  const current = state.candidates[state.index]!;
  return detour(state, state.candidates.includes(host) ? host : current, url, lastFailure);
}

/** Puts `host` in front of the candidates that are left. */
function detour(state: CallState, host: string, url: string | null, lastFailure: string): Decision {
  const { candidates, index } = state;
  const next = {
    ...state,
    candidates: [...candidates.slice(0, index + 1), host, ...candidates.slice(index + 1)],
    index: index + 1,
    detours: state.detours + 1,
    lastFailure,
  };
  return { kind: 'try', host, url, state: next };
}

function nextCandidate(state: CallState, lastFailure: string): Decision {
  for (let index = state.index + 1; index < state.candidates.length; index++) {
    const host = state.candidates[index]!;
    if (!state.silent.includes(host))
      return { kind: 'try', host, url: null, state: { ...state, index, lastFailure } };
  }
  return done(state.undecodable ?? noMaster(lastFailure));
}

function done(outcome: MasterOutcome): Decision {
  return { kind: 'done', leader: null, outcome };
}

function noMaster(lastFailure: string): MasterOutcome {
  return { ok: false, kind: 'noMaster', message: 'no valid master', detail: lastFailure };
}

/**
 * Where a reply of `url` sends the request, as the reference's HTTP library goes along with it: null when nowhere, when the method would not stay the same (it would
 * arrive without its body), and for anything but HTTP.
 */
export function redirectOf(
  status: number,
  method: string,
  location: string | undefined,
  url: string,
): string | null {
  const keepsMethod = status === 307 || status === 308 || method === 'GET';
  const isRedirect = keepsMethod && [301, 302, 303, 307, 308].includes(status);
  if (!isRedirect || location === undefined || !URL.canParse(location, url)) return null;
  const target = new URL(location, url);
  return target.protocol === 'http:' ? target.href : null;
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
  if (typeof code !== 'number' || !Number.isInteger(code)) return undecodable('code is not a number');
  if (code !== 0) {
    const message = `request error, code[${code}], msg[${String(msg).slice(0, MESSAGE_CHARACTERS_MAX)}]`;
    return { ok: false, kind: 'refused', code, message, detail: '' };
  }
  return { ok: true, data };
}

/** Most of a master's own text that goes into a message of ours. */
const MESSAGE_CHARACTERS_MAX = 2_000;

function undecodable(reason: string): MasterOutcome {
  const message = `unmarshal response body err:${reason.slice(0, MESSAGE_CHARACTERS_MAX)}`;
  return { ok: false, kind: 'undecodable', message, detail: '' };
}

function excerpt(body: string): string {
  return JSON.stringify(body.trim().slice(0, 120));
}
