/**
 * Part 8 of the simulated clusters of CI.
 */
import { runPart } from './seeds.js';

runPart(7);
