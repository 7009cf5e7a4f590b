/**
 * The HTTP ports as the node uses them: open from the beginning of its start, its pages there once it serves, lists and certificates changed while it runs. Made by `dataNode.ts`.
 */
import type { Logger } from 'pino';
import type { NodeConfig } from './config/config.js';
import { accepted, type Parsed, refused } from './config/parsed.js';
import { planListeners } from './http/listeners.js';
import type { Readiness } from './http/messages.js';
import { type HttpThread, type ServedNode, startHttp } from './http/startHttp.js';

export interface NodeHttpOptions {
  config: NodeConfig;
  log: Logger;
  /** How far the start is, for `/readyz`. */
  readiness(): Readiness;
  /** `/loglevel/set`; absent: the level cannot be changed. */
  setLogLevel: ((level: string) => boolean) | undefined;
}

/** `host:port`; null: it is not served. */
export interface HttpAddresses {
  http: string | null;
  exporter: string | null;
}

export class NodeHttp {
  readonly #options: NodeHttpOptions;
  #thread: HttpThread | null = null;

  constructor(options: NodeHttpOptions) {
    this.#options = options;
  }

  /** Opens the ports that are configured, so that the start can be watched (`/healthz`, `/readyz`). Rejects when `prof` cannot be had. */
  async start(): Promise<HttpAddresses> {
    const { config, log, setLogLevel, readiness } = this.#options;
    const addresses: HttpAddresses = { http: null, exporter: null };
    const listeners = planListeners(config);
    if (listeners.length === 0) return addresses;
    const thread = await startHttp({
      ...{ listeners, log, readiness, server: config.httpServer, access: config.accessAdmin },
      tls: config.tlsCertFile === '' ? null : { certFile: config.tlsCertFile, keyFile: config.tlsKeyFile },
      faultInjection: config.faultInjection,
      // The reference has it with `prof` only.
      ...(setLogLevel === undefined || config.profPort === null ? {} : { setLogLevel }),
    });
    this.#thread = thread;
    for (const { address, prof, exporter } of listeners) {
      if (prof && thread.prof !== null) addresses.http = `${address}:${thread.prof}`;
      if (exporter && thread.exporter !== null) addresses.exporter = `${address}:${thread.exporter}`;
    }
    return addresses;
  }

  /** The node serves: its pages are there from now on. */
  open(node: ServedNode): void {
    this.#thread?.open(node);
  }

  /** Another list and other certificates, for a reload. The certificates are tried before anything changes. */
  async prepare({ accessAdmin, tlsCertFile, tlsKeyFile }: NodeConfig): Promise<Parsed<() => void>> {
    const thread = this.#thread;
    if (thread === null) return accepted(() => {});
    if (thread.usesTls !== (tlsCertFile !== ''))
      return refused('extentd.tls', 'to speak TLS, or no longer to, needs a restart');
    const names = { certFile: tlsCertFile, keyFile: tlsKeyFile };
    if (!thread.usesTls) return accepted(() => thread.setAccess(accessAdmin));
    const found = await thread.checkTls(names);
    if (!found.ok) return found;
    return accepted(() => {
      thread.setAccess(accessAdmin);
      void thread.reloadTls(names).then((outcome) => {
        if (!outcome.ok) this.#options.log.error(`the certificates stay as they were: ${outcome.message}`);
      });
    });
  }

  async close(): Promise<void> {
    await this.#thread?.close();
  }
}
