/**
 * Which peers are left alone for a while because they do not answer. Pure; time comes in, monotonic ms. A host that is down, or takes connections and says nothing, must not hold up what thousands of partitions ask of
 * it one after another: after the first who notice, the others are told at once.
 */

/** After a question that got no answer, ms. */
const PAUSE_MS = 30_000;
/** A question that is open for longer keeps further ones from being asked, ms. */
const SILENT_MS = 3_000;

interface Peer {
  /** When the questions that are open were asked. */
  readonly open: Set<{ readonly askedMs: number }>;
  pausedUntilMs: number;
}

export class PeerSilence {
  readonly #peers = new Map<string, Peer>();

  /** Whether the peer may be asked now. */
  mayAsk(address: string, nowMs: number): boolean {
    const peer = this.#peers.get(address);
    if (peer === undefined) return true;
    if (nowMs < peer.pausedUntilMs) return false;
    // In the order in which they were asked.
    const [oldest] = peer.open;
    return oldest === undefined || nowMs - oldest.askedMs <= SILENT_MS;
  }

  /** A question begins. What comes back is to be called once: with whether anything was answered. */
  asked(address: string, nowMs: number): (answered: boolean, nowMs: number) => void {
    const peer = this.#peers.get(address) ?? { open: new Set(), pausedUntilMs: 0 };
    this.#peers.set(address, peer);
    const question = { askedMs: nowMs };
    peer.open.add(question);
    return (answered, endedMs) => {
      peer.open.delete(question);
      peer.pausedUntilMs = answered ? 0 : endedMs + PAUSE_MS;
      if (answered && peer.open.size === 0) this.#peers.delete(address);
    };
  }
}
