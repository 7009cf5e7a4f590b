/** Where everything of a simulated run is: its one partition, on the disk of each node. */
export const ROOT = '/d';
export const PARTITION = 7;
export const FOLDER = `${ROOT}/datapartition_7_1073741824`;
