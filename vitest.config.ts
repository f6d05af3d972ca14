import { basename } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const globalSetup = 'packages/chassis/src/testing-postgres.ts'

/** Half a minute and more each. */
const LONGEST = ['properties', 'start', 'kill', 'contract', 'hot-stock', 'crash', 'durability']

/** On a fresh clone Vitest begins with the largest file, and a long one that begins last has the machine to itself. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted(
      (a, b) => groupOf(a) - groupOf(b) || rankOf(a) - rankOf(b),
    )
  }
}

function groupOf({ project }: TestSpecification): number {
  return project.config.sequence.groupOrder
}

function rankOf({ moduleId }: TestSpecification): number {
  const rank = LONGEST.indexOf(basename(moduleId, '.test.ts'))
  return rank < 0 ? LONGEST.length : rank
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{services,packages}/*/test/**/*.test.ts',
            '{processor,audit,bench,gate,loadtest,provision,mutants}/test/**/*.test.ts',
            'e2e/app-faults/*.test.ts',
            'e2e/proofs/unit/*.test.ts',
            'lab/test/offline/*.test.ts',
          ],
          globalSetup,
          // Files share their worker's modules: importing them anew costs each a second.
          isolate: false,
          maxWorkers: 3,
          testTimeout: 20_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['e2e/{system,crash,properties,fuzz}/**/*.test.ts'],
          globalSetup,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 3,
          // After the unit tests: whole systems and their load would starve them of time.
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Not in npm test: needs root and Debian packages (pnpm verify:images).
        test: {
          name: 'images',
          include: ['lab/test/images.test.ts'],
          globalSetup,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // Not in npm test: brings a lab up and ends it (pnpm verify:lab).
        test: {
          name: 'lab',
          include: ['lab/test/{lab,documents}.test.ts'],
          globalSetup: 'lab/test/running.ts',
          testTimeout: 60_000,
          // One file at a time: they change the same mesh.
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
      {
        // Not in npm test: shows the mesh's promises on a cluster (pnpm e2e).
        test: {
          name: 'proofs',
          include: ['e2e/proofs/*.test.ts'],
          // They share probes, and one mesh.
          isolate: false,
          maxWorkers: 1,
          sequence: { groupOrder: 5 },
        },
      },
      {
        // After all files of the lab.
        test: {
          name: 'lab-end',
          include: ['lab/test/end.test.ts'],
          testTimeout: 60_000,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
})
