#!/usr/bin/env node
/**
 * The entry point of `extentd`. It catches signals before anything else is loaded, and leaves the rest to `program.ts`.
 */
import { fileURLToPath } from 'node:url';
import { StopSignals } from './cli/stopSignals.js';

const signals = new StopSignals(process);
const { main } = await import('./program.js');
process.exitCode = await main(fileURLToPath(import.meta.url), process.argv.slice(2), signals);
