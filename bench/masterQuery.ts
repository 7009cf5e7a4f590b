/**
 * Asks a cluster's master, extentd's embedded one or a Go one, for the partitions of a volume, as a client does at its mount.
 */
import { request } from 'node:http';
import type { Address } from './address.js';
import { type HostList, hostListsOf, parsePartitionView } from './hostLists.js';

/** Some 300 bytes a partition. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** The host lists of `wanted` partitions of a volume (of none: of all that are read-write). Throws an Error with a clear text when the master cannot be asked or the answer cannot be used. */
export async function askHostLists(
  master: Address,
  volume: string,
  wanted: readonly number[],
  timeoutMs: number,
): Promise<HostList[]> {
  const what = `master ${master.host}:${master.port}, volume ${volume}`;
  let text: string;
  try {
    text = await get(master, `/client/partitions?name=${encodeURIComponent(volume)}`, timeoutMs);
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`);
  }
  const views = parsePartitionView(text);
  const lists = views.ok ? hostListsOf(views.value, wanted) : views;
  if (!lists.ok) throw new Error(`${what}: ${lists.message}`);
  return lists.value;
}

function get({ host, port }: Address, path: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host, port, path, agent: false });
    const timer = setTimeout(
      () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    outgoing.on('error', fail);
    outgoing.on('response', (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on('error', fail);
      answer.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) outgoing.destroy(new Error('its answer has no end'));
      });
      answer.on('end', () => {
        clearTimeout(timer);
        const text = Buffer.concat(chunks).toString('utf8');
        if (answer.statusCode === 200) resolve(text);
        else reject(new Error(`HTTP status ${answer.statusCode}: ${text.slice(0, 200).trim()}`));
      });
    });
    outgoing.end();
  });
}
