"""Losses: pure functions of tensors, and the same as terms of an objective."""

from densedistill.distill.losses.features import FeatureMatching, as_map, feature_mse, to_smaller
from densedistill.distill.losses.images import Perceptual, l1, perceptual_l1
from densedistill.distill.losses.logit_labelled import mixed_dkd_loss, nkd_loss, ofa_loss
from densedistill.distill.losses.logit_relations import dist_loss, mlkd_loss
from densedistill.distill.losses.logit_standard import standardise
from densedistill.distill.losses.logit_temperature import (
    CurriculumTemperature,
    ctkd_loss,
    curriculum,
    reverse_gradient,
)
from densedistill.distill.losses.logit_transformed import wttm_loss
from densedistill.distill.losses.logits import dkd_loss, dkd_per_image, kd_loss, mixed_cross_entropy
from densedistill.distill.losses.maps import probability_mse, weighted_bce
from densedistill.distill.losses.terms import (
    DecoupledLogits,
    DistilledLogits,
    HardLabels,
    HardMaps,
    Reconstruction,
    SoftMaps,
    TaughtReconstruction,
    TermFunction,
    blend,
)

__all__ = [
    "CurriculumTemperature",
    "DecoupledLogits",
    "DistilledLogits",
    "FeatureMatching",
    "HardLabels",
    "HardMaps",
    "Perceptual",
    "Reconstruction",
    "SoftMaps",
    "TaughtReconstruction",
    "TermFunction",
    "as_map",
    "blend",
    "ctkd_loss",
    "curriculum",
    "dist_loss",
    "dkd_loss",
    "dkd_per_image",
    "feature_mse",
    "kd_loss",
    "l1",
    "mixed_cross_entropy",
    "mixed_dkd_loss",
    "mlkd_loss",
    "nkd_loss",
    "ofa_loss",
    "perceptual_l1",
    "probability_mse",
    "reverse_gradient",
    "standardise",
    "to_smaller",
    "weighted_bce",
    "wttm_loss",
]
