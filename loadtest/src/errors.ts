import { LabError } from '@oms/lab/command'

/** A whole sentence for the person at the terminal. */
export class LoadtestError extends LabError {}
