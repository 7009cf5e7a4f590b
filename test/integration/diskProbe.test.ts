/** A disk that hangs or fails is noticed by its probe, without any client: log, status, /disks; the other disk goes on, and a hang is forgiven when it ends. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { IO } from '../../src/native/addon.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, read, write } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

interface Disk {
  status: number;
  responsive: boolean;
  readErrCnt: number;
  writeErrCnt: number;
}

const WAIT_MS = 30_000;
const settings = ['faultInjection=true', 'probe.intervalMs=1000', 'probe.timeoutMs=2000'];
const node = await startStandalone(t, { disks: 2, partitions: 2, settings });

async function disks(): Promise<Disk[]> {
  const body = (await (await fetch(`${node.httpUrl}/disks`)).json()) as { data: { disks: Disk[] } };
  return body.data.disks;
}

async function untilDisk(what: string, row: number, fits: (disk: Disk) => boolean): Promise<Disk> {
  const ask = async (): Promise<Disk | null> =>
    (await disks()).filter((_, i) => i === row).find(fits) ?? null;
  return untilAnswer(what, ask, WAIT_MS);
}

async function fault(query: string): Promise<void> {
  const response = await fetch(`${node.httpUrl}/debug/fault?${query}`, { method: 'POST' });
  if (response.status !== 200) throw new Error(await response.text());
}

t.test('the probe file is written at the root of each disk', async (t) => {
  for (const disk of ['disk1', 'disk2']) {
    const path = join(node.folder, disk, '.diskStatus');
    const found = await untilAnswer('the probe file', async () => statSync(path), WAIT_MS);
    t.equal(found.mode & 0o755, found.mode & 0o777);
    t.ok((found.mode & 0o100) !== 0, 'executable by its owner, as the reference makes it');
  }
});

t.test('a disk that hangs is reported while it does', async (t) => {
  await fault(`disk=0&kind=hang&codes=${IO.fdatasync}`);
  await untilDisk('the hang is seen', 0, ({ status, responsive }) => status === -1 && !responsive);
  const client = new PacketClient(node.port);
  t.equal((await client.ask(create(2))).resultCode, RESULT.ok, 'the other disk goes on');
  await client.end();
  await fault('disk=0&kind=clear');
  const disk = await untilDisk('it is forgiven', 0, ({ status, responsive }) => status !== -1 && responsive);
  t.match(disk, { readErrCnt: 0, writeErrCnt: 0 });
});

t.test('a read that fails counts as a read error and takes the disk out of service', async (t) => {
  const client = new PacketClient(node.port);
  const { extentId } = await client.ask(create(2));
  await client.ask(write(2, extentId, 0, Buffer.alloc(4096, 7)));
  await fault(`disk=1&kind=errno&value=5&codes=${IO.pread}&count=1`);
  await client.ask(read(2, extentId, 0, 4096)).catch(() => null);
  await client.end();
  const disk = await untilDisk('the error is counted', 1, ({ status }) => status === -1);
  t.match(disk, { readErrCnt: 1, writeErrCnt: 0, responsive: true });
});

t.test('a probe that fails takes the disk out of service without any client', async (t) => {
  await fault(`disk=0&kind=errno&value=5&codes=${IO.fdatasync}`);
  const disk = await untilDisk('the failure is seen', 0, ({ status }) => status === -1);
  t.ok(disk.writeErrCnt >= 1);
  t.match(disk, { readErrCnt: 0, responsive: true });
  await fault('disk=0&kind=clear');
});

t.test('alarms: each disk that hung or failed was told', async (t) => {
  const alarms = (): string[] => node.process.logLines.filter((line) => line.includes('alarm=true'));
  const wanted = [
    /ERROR disk path \S+disk1 error on 127\.0\.0\.1: hangs /,
    /disk path \S+disk2 error on 127\.0\.0\.1 readErrors=1/,
  ];
  const last = /disk path \S+disk1 error on 127\.0\.0\.1 readErrors=0 writeErrors=\d/;
  for (const text of [...wanted, last])
    await until(String(text), () => alarms().some((line) => text.test(line)), WAIT_MS);
  t.equal(alarms().length, 3, 'once each');
});
