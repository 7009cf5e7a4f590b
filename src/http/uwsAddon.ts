/**
 * Loads uWebSockets.js, if the optional package is there and its native file is one that was tested with this version.
 *
 * The package is a third party's repack of prebuilt binaries. So nothing of its JavaScript runs, and of its binaries only one whose SHA-256 stands in
 * the table below; everything else counts as "not there", with the reason. Who can exchange the file between the check and the loading can exchange
 * this program as well. Called by the HTTP thread; `docs/http.md` tells why.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** What a response offers. It may not be touched any more once it was ended, closed or aborted. */
export interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  /** Copies the body; what the peer does not take at once is buffered without a bound of ours. */
  end(body: Uint8Array | string, closeConnection?: boolean): UwsResponse;
  /** Hands over what the peer takes at once, and copies nothing. `[took all of the chunk, response complete]`. */
  tryEnd(chunk: Uint8Array | string, totalBytes: number): [boolean, boolean];
  /** `offset`: bytes of the body handed over so far. The callback returns whether it could hand over what is left. */
  onWritable(callback: (offset: number) => boolean): UwsResponse;
  onAborted(callback: () => void): UwsResponse;
  /** The chunk is gone when the callback returns. */
  onData(callback: (chunk: ArrayBuffer, isLast: boolean) => void): UwsResponse;
  cork(callback: () => void): UwsResponse;
  close(): UwsResponse;
  /** 4 or 16 bytes. */
  getRemoteAddress(): ArrayBuffer;
}

/** Valid during the callback only. */
export interface UwsRequest {
  getCaseSensitiveMethod(): string;
  getUrl(): string;
  getQuery(): string | undefined;
  getHeader(lowerCaseName: string): string;
  forEach(callback: (name: string, value: string) => void): void;
}

export type UwsListenSocket = object;

export interface UwsApp {
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  /** `change`: 1 for a connection that was opened, -1 for one that was closed, whose response must not be used. */
  filter(handler: (response: UwsResponse, change: number) => void): UwsApp;
  listen(
    address: string,
    port: number,
    options: number,
    callback: (socket: UwsListenSocket | false) => void,
  ): UwsApp;
  close(): UwsApp;
}

/** The addon. */
export interface Uws {
  App(): UwsApp;
  SSLApp(options: { cert_file_name: string; key_file_name: string }): UwsApp;
  us_listen_socket_close(socket: UwsListenSocket): void;
  LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}

export type UwsLoad =
  | { readonly ok: true; readonly uws: Uws }
  | { readonly ok: false; readonly reason: string };

/** SHA-256 of the native files of `uwebsockets` 3.0.6: Linux, and the ABIs of Node 20, 22, 24 and 25. */
export const UWS_HASHES: Readonly<Record<string, string>> = {
  'uws_linux_x64_115.node': 'f4fa5d7b697529b45ac8aa3d57385d9af51bc1d2b26aa9f5b68ca4361542e665',
  'uws_linux_x64_127.node': '78e38a9a163b1cf33ce539619e5908111dea95a12e7943d95fbcdd524879caa8',
  'uws_linux_x64_137.node': '3b549c14e01d9d1faf234cdf4b6f0fb08158605e3692cd0eb1b905e327bd3449',
  'uws_linux_x64_141.node': 'd22bae7642b872152cd0eeb682c6c2ffd186e91af8cf18cdf98be984a6549d49',
  'uws_linux_arm64_115.node': '034e0fcccdc08f90df3b130f421516311831b1352fe38eab91abc2984c2fdf3a',
  'uws_linux_arm64_127.node': 'a7d9bc3ec166421a49416d5ea4f49118ae68ea1dbf8a765c4f45a79b0b6adb13',
  'uws_linux_arm64_137.node': 'b6eb007d627e00bcce03ad38f197124e9027c03f6fe784b37f97b8a6ea709cb4',
  'uws_linux_arm64_141.node': '1317f2e69ea1924ee8dd94ed02a3e6beb08e55d8b06f18caeda3d67a02857aee',
};

export interface UwsLoadOptions {
  /** Bound for the headers of a request that arrive in pieces, bytes; its own default is 4096. It is read once, when the file is first loaded. */
  headerBytesMax: number;
  /** Where the native files are; default: the installed package. */
  folder?: string;
  /** Default: `process.versions.modules`. */
  abi?: string;
}

/** Loads the addon into this thread. */
export function loadUws(options: UwsLoadOptions): UwsLoad {
  const abi = options.abi ?? process.versions.modules;
  const name = `uws_${process.platform}_${process.arch}_${abi}.node`;
  const expected = UWS_HASHES[name];
  if (expected === undefined) {
    return failed(`no tested build for ${process.platform} ${process.arch} and Node ABI ${abi}`);
  }
  const folder = options.folder ?? packageFolder();
  if (folder === null) return failed('the optional package uwebsockets is not installed');
  const path = join(folder, name);
  try {
    const actual = createHash('sha256').update(readFileSync(path)).digest('hex');
    if (actual !== expected) return failed(`${name} has SHA-256 ${actual}, not that of the tested build`);
    return { ok: true, uws: open(path, options.headerBytesMax) };
  } catch (error) {
    return failed(`${name}: ${(error as Error).message}`);
  }
}

const HEADER_LIMIT_VARIABLE = 'UWS_HTTP_MAX_HEADERS_SIZE';

/** The thread shares the process's environment (`startHttp.ts`), else the addon would not see the variable. */
function open(path: string, headerBytesMax: number): Uws {
  const before = process.env[HEADER_LIMIT_VARIABLE];
  process.env[HEADER_LIMIT_VARIABLE] = String(headerBytesMax);
  try {
    const module: { exports: unknown } = { exports: {} };
    process.dlopen(module, path);
    return module.exports as Uws;
  } finally {
    if (before === undefined) delete process.env[HEADER_LIMIT_VARIABLE];
    else process.env[HEADER_LIMIT_VARIABLE] = before;
  }
}

function packageFolder(): string | null {
  try {
    return dirname(createRequire(import.meta.url).resolve('uwebsockets/package.json'));
  } catch {
    return null;
  }
}

function failed(reason: string): UwsLoad {
  return { ok: false, reason };
}
