/** Both HTTP servers, for tests that hold for either. */
import type { Test } from 'tap';
import { HTTP_LIMITS, type HttpServer, type ListenOptions, listenHttp } from '../../src/http/httpServer.js';
import { loadUws } from '../../src/http/uwsAddon.js';
import { listenUws } from '../../src/http/uwsServer.js';

export interface ServerKind {
  /** As `extentd.httpServer` names it. */
  choice: 'node' | 'uws';
  listen(options: ListenOptions): Promise<HttpServer>;
}

const loaded = loadUws({ headerBytesMax: HTTP_LIMITS.headerBytesMax });

export const NODE_SERVER: ServerKind = { choice: 'node', listen: listenHttp };

/** Null: it cannot be loaded here; `uwsAddon.test.ts` fails then, unless the package was left out. */
export const UWS_SERVER: ServerKind | null = loaded.ok
  ? { choice: 'uws', listen: (options) => listenUws(loaded.uws, options) }
  : null;

export const WHY_NO_UWS = loaded.ok ? '' : loaded.reason;

/** A test that runs once for each server. */
export function onEachServer(
  run: (t: Test, server: ServerKind) => Promise<unknown>,
): (t: Test) => Promise<void> {
  return async (t) => {
    await t.test('node:http', async (t) => run(t, NODE_SERVER));
    const uws = UWS_SERVER;
    if (uws === null) t.comment(`uWebSockets.js: ${WHY_NO_UWS}`);
    else await t.test('uWebSockets.js', async (t) => run(t, uws));
  };
}
