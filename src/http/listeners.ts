/**
 * On which addresses and ports HTTP is served (`admin.md` 1 and 10): the debug port `prof` and `exporterPort`, which serve the same pages. Pure.
 */
import type { NodeConfig } from '../config/config.js';

/** One listening socket. */
export interface HttpListener {
  address: string;
  /** 0: any free one. */
  port: number;
  /** It is `prof`: a start without it fails, as the reference's does. */
  prof: boolean;
  /** It is `exporterPort`: a start without it goes on, as the reference's does. */
  exporter: boolean;
}

export type HttpPorts = Pick<NodeConfig, 'profPort' | 'exporterPort' | 'httpAddress' | 'exporterAddress'>;

/** None, one or two. Two settings that mean the same socket, or sockets of which one contains the other, are one. */
export function planListeners(ports: HttpPorts): HttpListener[] {
  const exporterAddress = ports.exporterAddress === '' ? ports.httpAddress : ports.exporterAddress;
  const listeners: HttpListener[] = [];
  if (ports.profPort !== null) {
    listeners.push({ address: ports.httpAddress, port: ports.profPort, prof: true, exporter: false });
  }
  if (ports.exporterPort <= 0) return listeners;
  const prof = listeners[0];
  const shared =
    prof === undefined || prof.port !== ports.exporterPort ? null : oneAddress(prof.address, exporterAddress);
  if (prof !== undefined && shared !== null) return [{ ...prof, address: shared, exporter: true }];
  listeners.push({ address: exporterAddress, port: ports.exporterPort, prof: false, exporter: true });
  return listeners;
}

/** The address that is both, where there is one: they are equal, or one means all addresses. */
function oneAddress(a: string, b: string): string | null {
  if (a === b) return a;
  // `::` takes IPv4 connections too.
  for (const all of ['::', '0.0.0.0']) if (a === all || b === all) return all;
  return null;
}
