/**
 * Part 7 of the simulated clusters of CI.
 */
import { runPart } from './seeds.js';

runPart(6);
