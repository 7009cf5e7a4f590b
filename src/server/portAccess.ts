/**
 * Which classes an address is admitted as, by the lists of `extentd.access.*`: the data port asks once a connection (`listener.ts`), and the raft ports, where only
 * `peers` may speak, ask the same (`src/transport/listener.ts`). Pure.
 */
import { AccessList } from '../config/accessList.js';
import type { NodeConfig } from '../config/config.js';
import { PORT_CLASS } from '../protocol/portClasses.js';

/** The lists that concern packets and raft; `access.admin` is the HTTP ports'. */
export type AccessSettings = Pick<NodeConfig, 'accessClients' | 'accessPeers' | 'accessMasters'>;

export class PortAccess {
  readonly #clients: AccessList;
  readonly #peers: AccessList;
  readonly #masters: AccessList;

  constructor(settings: AccessSettings) {
    this.#clients = new AccessList(settings.accessClients);
    this.#peers = new AccessList(settings.accessPeers);
    this.#masters = new AccessList(settings.accessMasters);
  }

  /** The classes (bits of `PORT_CLASS`) of an address as a socket shows it; 0: it is in no list, and no list is empty. */
  classesOf(address: string): number {
    return (
      (this.#clients.admits(address) ? PORT_CLASS.clients : 0) |
      (this.#peers.admits(address) ? PORT_CLASS.peers : 0) |
      (this.#masters.admits(address) ? PORT_CLASS.masters : 0)
    );
  }
}
