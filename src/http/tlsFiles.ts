/**
 * Certificate and key of the HTTP ports: read and checked before any server gets them, so that bad files are told in one line that names the key of the
 * configuration, at the start as at a reload. Runs on the HTTP thread.
 */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Outcome } from '../control/nodeView.js';

export interface TlsFileNames {
  certFile: string;
  keyFile: string;
}

/** Files that were found to belong together. uWebSockets.js takes their names and reads them again, node:https takes what was read. */
export interface TlsPair extends TlsFileNames {
  cert: Buffer;
  key: Buffer;
}

/** A certificate with its chain and its key are a few KiB; a larger file is another file. */
const FILE_BYTES_MAX = 1024 * 1024;

/** Reads both files and tries them. */
export function readTlsPair(names: TlsFileNames): Outcome<TlsPair> {
  const cert = readPart('certFile', names.certFile);
  if (!cert.ok) return cert;
  const key = readPart('keyFile', names.keyFile);
  if (!key.ok) return key;
  const badCert = problemOf({ cert: cert.value });
  if (badCert !== null) return bad('certFile', names.certFile, `is no PEM certificate: ${badCert}`);
  const badKey = problemOf({ key: key.value });
  if (badKey !== null) return bad('keyFile', names.keyFile, `is no PEM key without a passphrase: ${badKey}`);
  const mismatch = problemOf({ cert: cert.value, key: key.value });
  if (mismatch !== null) {
    return bad(
      'keyFile',
      names.keyFile,
      `does not go with the certificate in ${names.certFile}: ${mismatch}`,
    );
  }
  return { ok: true, value: { ...names, cert: cert.value, key: key.value } };
}

function readPart(part: keyof TlsFileNames, path: string): Outcome<Buffer> {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > FILE_BYTES_MAX) return bad(part, path, `has more than ${FILE_BYTES_MAX} bytes`);
    return { ok: true, value: bytes };
  } catch (error) {
    return bad(part, path, `cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}`);
  }
}

/** What OpenSSL says against it, or null. */
function problemOf(parts: { cert?: Buffer; key?: Buffer }): string | null {
  try {
    createSecureContext(parts);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function bad(part: keyof TlsFileNames, path: string, problem: string): Outcome<never> {
  return { ok: false, message: `extentd.tls.${part}: ${path} ${problem}` };
}
