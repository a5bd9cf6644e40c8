"""Which weights of a job are kept in files: the best, the last, and those of epochs that will be averaged."""

from __future__ import annotations

from typing import Any

from zoo.core.files import sha256
from zoo.data.pipeline import image_errors
from zoo.models.ensemble import Ensemble
from zoo.training import averaging, processes
from zoo.training.building import save_weights
from zoo.training.jobs import Job, Position
from zoo.training.optimizers import averaged_weights
from zoo.training.surroundings import Surroundings
from zoo.training.validation import validate


class Kept:
    """The weights files of a job.

    Args:
        job: The model and the stage.
        around: What the job shares with the other jobs.
        position: How far the run is; the sha256 of the best weights is written into it.
        model: The compiled model.
    """

    def __init__(self, job: Job, around: Surroundings, position: Position, model: Ensemble) -> None:
        self.job, self.around, self.position, self.model = job, around, position, model

    def keep(self, val_auc: float, better: bool) -> None:
        """Saves the weights at the end of an epoch if they are the best, or if they may be averaged later."""
        stage, folder, epoch = self.job.stage, self.job.folder, self.position.epoch
        if better and stage.average_last is None:
            self._save_best()
        chosen = averaging.best_epochs({**self._aucs(), epoch: val_auc}, stage)
        if averaging.is_averaged(stage, epoch) or epoch in chosen:
            save_weights(self.model, averaging.epoch_file(folder, stage, epoch))

    def finish(self) -> None:
        """Saves, after the last epoch of the stage, what the stage leaves: the last weights, an average or a soup."""
        stage = self.job.stage
        if stage.last_weights:
            with averaged_weights(self.model):
                save_weights(self.model, self.job.folder / stage.last_weights)
        if stage.average_last is not None:
            self._save_average()
        if stage.soup is not None:
            self._save_soup()

    def forget(self, finished: bool) -> None:
        """Deletes the files of epochs that are not needed, and all of them if the stage is finished."""
        stage = self.job.stage
        if stage.soup is not None or (finished and stage.average_last is not None):
            kept = () if finished else averaging.best_epochs(self._aucs(), stage)
            processes.by_first(lambda: averaging.forget_epochs(self.job.folder, stage, kept))

    def _save_best(self) -> None:
        path = self.job.folder / self.job.stage.best_weights
        save_weights(self.model, path)
        self.position.weights[f"{self.job.member}/{path.name}"] = sha256(path)

    def _aucs(self) -> dict[int, float]:
        """Epoch (from 0) of the job -> its val_auc, of the finished epochs."""
        rows = [row for row in self.position.history if row["job"] == self.job.title]
        return {row["epoch"] - 1: row["val_auc"] for row in rows}

    def _save_soup(self) -> None:
        """Saves the greedy soup of the best epochs as the best weights and reports its loss and AUC."""
        folder, stage, epochs = self.job.folder, self.job.stage, averaging.best_epochs(self._aucs(), self.job.stage)
        with image_errors():
            soup = averaging.set_soup(
                self.model, folder, stage, epochs, self._last_batches(), lambda: self._scores()["val_auc"]
            )
        chosen = ", ".join(str(epoch + 1) for epoch in soup)
        self._replace_best(f"greedy soup of epochs {chosen}, tried {len(epochs)}")

    def _save_average(self) -> None:
        """Saves the average of the last epochs as the best weights and reports its loss and AUC."""
        with image_errors():
            averaging.set_average(self.model, self.job.folder, self.job.stage, self._last_batches())
        self._replace_best(f"mean of the weights of the last {self.job.stage.average_last} epochs")

    def _last_batches(self) -> Any:
        job, stage = self.job, self.job.stage
        return self.around.examples.batches(stage, job.seed, job.first_epoch + stage.epochs - 1, 0, whole=True)

    def _scores(self) -> dict[str, float]:
        return validate(self.model, self.around, self.job.stage)

    def _replace_best(self, what: str) -> None:
        logs = self._scores()
        self._save_best()
        self.around.progress.message(
            f"{self.job.title}: {what}: val_loss {logs['val_loss']:.4f}, val_auc {logs['val_auc']:.4f}"
        )
