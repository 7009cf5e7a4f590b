/**
 * What admission must know of a packet beside its header: who sent it, whether its partition is here and takes it, and where it is to be forwarded. One object a network thread's connections share;
 * looked up anew for each packet, and nothing is allocated for it.
 */
import { ERROR_TEXT } from '../protocol/errors.js';
import { type FollowerListOutcome, FollowerListParser } from '../protocol/followers.js';
import type { PacketHeader } from '../protocol/header.js';
import { isPrimaryPacket } from '../protocol/opcodes.js';
import type { Route } from './workerPort.js';

/** Facts of one packet. */
export class PacketFacts {
  /** What its sender is admitted as: bits of `PORT_CLASS`. */
  classes = 0;
  /** Its partition is loaded here. */
  partitionKnown = false;
  /** Why that partition's disk cannot take work now, or empty. */
  diskMessage = '';
  /** That partition has no space left, as far as its worker has told. */
  partitionFull = false;
  /** The packet is to be forwarded to followers. */
  forwarded = false;
  /** What is wrong with its list of followers, or empty. */
  followersMessage = '';

  /** Looks at a packet with the given header, of the connection's `lists`. */
  look(header: PacketHeader, classes: number, route: Route | undefined, lists: FollowerLists): void {
    this.classes = classes;
    this.partitionKnown = route !== undefined;
    this.diskMessage = route === undefined ? '' : route.port.refusal;
    this.forwarded = header.remainingFollowers > 0 && lists.argBytes > 0;
    this.followersMessage = this.forwarded ? lists.problem(header) : '';
    this.partitionFull = this.forwarded && route?.isFull() === true;
  }
}

/** The follower lists of one connection: they repeat from packet to packet. */
export class FollowerLists {
  readonly #parser = new FollowerListParser();
  #outcome: FollowerListOutcome = { ok: true, addresses: [] };
  /** What is wrong with the list whatever the packet says. */
  #message = '';
  /** Bytes of the Arg that was taken last. */
  argBytes = 0;

  /** Takes a packet's Arg. */
  take(arg: Uint8Array): void {
    this.argBytes = arg.length;
    if (arg.length === 0) return;
    const outcome = this.#parser.parse(arg);
    if (outcome === this.#outcome) return;
    this.#outcome = outcome;
    this.#message = listProblem(outcome);
  }

  /** Addresses of the list that was taken last: the same array as long as the list repeats. Only of a list without a problem. */
  get addresses(): readonly string[] {
    return this.#outcome.ok ? this.#outcome.addresses : [];
  }

  /** Why a packet with this header cannot be forwarded to the list that was taken last; empty: it can. */
  problem({ opcode, remainingFollowers }: PacketHeader): string {
    if (this.#message !== '') return this.#message;
    if (!isPrimaryPacket(opcode, remainingFollowers)) return mismatch('this operation is not replicated');
    const { length } = this.addresses;
    return length === remainingFollowers ? '' : mismatch(`${remainingFollowers} followers, ${length} named`);
  }
}

function listProblem(outcome: FollowerListOutcome): string {
  if (!outcome.ok) return mismatch(outcome.message);
  const { addresses } = outcome;
  if (addresses.includes('')) return mismatch('an empty follower address');
  return new Set(addresses).size === addresses.length ? '' : mismatch('a follower is named twice');
}

function mismatch(what: string): string {
  return `${ERROR_TEXT.parameterMismatch}: ${what}`;
}
