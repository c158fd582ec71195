/** What the page and its worker say to each other. */

import type { Settings, TrainingData, Way } from "./experiment";

export type ToWorker =
  | { say: "data"; data: TrainingData }
  | { say: "reset"; settings: Settings }
  | { say: "run" }
  | { say: "pause" }
  | { say: "step" };

/** One reading of one training; the loss is the mean since the last one. */
export interface Reading {
  step: number;
  loss: number | null;
  likelihood: number;
  increment: number;
}

export type FromWorker =
  | { say: "ready" }
  | { say: "read"; run: number; readings: Partial<Record<Way, Reading>>; speed: number | null }
  | { say: "paused"; run: number; step: number; ended: boolean; losses: Partial<Record<Way, number[]>> }
  | { say: "failed"; why: string };
