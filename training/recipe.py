"""How a network is trained: every choice in one frozen value that travels into the model's card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from crowdmood.domain.labels import FER_LABELS
from training.heads import ALL_HEADS


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly training faces are varied; zero switches a change off.

    Attributes:
        flip: Probability of mirroring.
        shift: Largest shift, as a share of the side.
        rotate_deg: Largest rotation to either side, in degrees.
        zoom_in: Largest enlargement, as a share (0.1 = up to 10 % larger).
        zoom_out: Largest shrinking, as a share: the same as a wider box around the face.
        shear: Largest shear, as a share of the side.
        brightness: Largest change of gamma (as a factor 1 + brightness), contrast (as a share) and offset.
        erase: Probability of erasing one random rectangle (Zhong et al. 2017).
        degrade: Probability of fewer pixels, blur, noise and JPEG (see `training.degrade.stadium`).
        occlude: Probability of hiding most of the face, which teaches the head `readable`; only with crowd faces.
    """

    flip: float = 0.5
    shift: float = 0.08
    rotate_deg: float = 12.0
    zoom_in: float = 0.10
    zoom_out: float = 0.10
    shear: float = 0.0
    brightness: float = 0.25
    erase: float = 0.25
    degrade: float = 0.0
    occlude: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained.

    Attributes:
        architecture: A name of `training.networks.ARCHITECTURES`, or `keras:` and the name of a backbone.
        fine_tune_layers: Of a backbone, how many of its last layers are trained after the head; 0 none.
        epochs: Passes over the training faces.
        minutes: Train for so long instead, however many epochs that are; the schedule follows the clock.
        batch_size: Faces per step.
        optimizer: `sgd` is SGD with Nesterov momentum 0.9; `adam` is AdamW.
        learning_rate: Peak of the schedule.
        schedule: `cosine` rises for 4 % of the run and falls to zero; `plateau` divides by two after
            `plateau_patience` epochs without improvement; `constant` stays.
        plateau_patience: Epochs without better PublicTest accuracy before `plateau` lowers the rate.
        stop_patience: Epochs without better PublicTest accuracy before training ends early; 0 never.
        weight_decay: Decoupled decay of kernels, multiplied by the learning rate.
        label_smoothing: Share of uniform probability in the targets.
        ferplus_blend: Weight of FER+ votes, translated into labels, in the targets.
        teacher_blend: Weight of a teacher's probabilities in the targets.
        class_weights: Weigh each label by the inverse square root of its frequency.
        crowd_faces: Labelled faces of real crowds in each epoch; they bring the heads `votes`, `crowd` and `readable`
            (see `training.heads`). 0: a network of seven outputs.
        crowd_backgrounds: Squares of crowd photographs without a face in each epoch, all unreadable.
        crowd_balance: How strongly rare labels are drawn more often: 0 not at all, 1 all labels equally often.
        votes_weight: Weight of the head `votes` beside that of FER2013's labels.
        crowd_weight: Weight of the head `crowd`.
        readable_weight: Weight of the head `readable`.
        agreed_weight: Weight with which FER2013 faces whose label most FER+ taggers chose as well teach the head
            `crowd` too: real crowds hold few angry, sad, surprised, afraid or disgusted faces.
        small_until: Shares of the run up to which faces are fed at 32 and at 40 pixels before 48: more epochs in
            the same time (progressive resizing, Tan & Le 2021).
        precision: Keras dtype policy while training; the export is always float32.
        seed: Seed of the order, the augmentation and the initial weights.
        augmentation: Random changes to the faces.
    """

    architecture: str = "crowdnet"
    fine_tune_layers: int = 0
    epochs: int = 60
    minutes: float | None = None
    batch_size: int = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.1
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    plateau_patience: int = 5
    stop_patience: int = 0
    weight_decay: float = 5e-3
    label_smoothing: float = 0.05
    ferplus_blend: float = 0.25
    teacher_blend: float = 0.0
    class_weights: bool = False
    crowd_faces: int = 0
    crowd_backgrounds: int = 0
    crowd_balance: float = 0.0
    votes_weight: float = 0.3
    crowd_weight: float = 1.0
    readable_weight: float = 0.5
    agreed_weight: float = 0.0
    small_until: tuple[float, float] = (0.0, 0.0)
    precision: Literal["float32", "mixed_bfloat16"] = "mixed_bfloat16"
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return ALL_HEADS if self.crowd_faces else len(FER_LABELS)
