/** Certificates for tests, made with the openssl of the machine, as operators make theirs. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { TlsFileNames } from '../../src/http/tlsFiles.js';

/** Whether certificates can be made here. */
export const HAS_OPENSSL = canRun();

/** A certificate for 127.0.0.1 with this common name, and its key, in `folder`. */
export function makeCertificate(folder: string, name: string): TlsFileNames {
  const certFile = join(folder, `${name}.cert.pem`);
  const keyFile = join(folder, `${name}.key.pem`);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', keyFile, '-out', certFile];
  execFileSync('openssl', ['req', '-x509', ...curve, '-nodes', '-days', '2', ...subject, ...files], {
    stdio: 'ignore',
  });
  return { certFile, keyFile };
}

function canRun(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
