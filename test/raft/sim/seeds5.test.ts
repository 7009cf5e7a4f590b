/**
 * Part 5 of the simulated clusters of CI.
 */
import { runPart } from './seeds.js';

runPart(4);
