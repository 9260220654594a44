"""Losses: pure functions of tensors, and the same as terms of an objective."""

from densedistill.distill.losses.alignment import aligned
from densedistill.distill.losses.contrast import ContrastiveDistillation, nce_loss
from densedistill.distill.losses.feature_attention import attention_loss
from densedistill.distill.losses.feature_heads import LogitHead
from densedistill.distill.losses.feature_hint import HintRegression, hint_loss
from densedistill.distill.losses.feature_reused import ReusedClassifier, simkd_loss
from densedistill.distill.losses.feature_terms import OnFeatures, OnHeads, OnImages, OnStages, ReadAs
from densedistill.distill.losses.feature_variational import VariationalDistillation, vid_loss
from densedistill.distill.losses.features import FeatureMatching, as_map, feature_mse, pooled_cosine, to_smaller
from densedistill.distill.losses.image_contrast import ContrastedImages, contrast_ratio
from densedistill.distill.losses.image_frequency import TaughtFrequencies, frequency_l1
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
from densedistill.distill.losses.logit_terms import LearnedTemperature, OnLogits, WarmedUp, epoch_number
from densedistill.distill.losses.logit_transformed import wttm_loss
from densedistill.distill.losses.logits import dkd_loss, dkd_per_image, kd_loss, mixed_cross_entropy
from densedistill.distill.losses.maps import probability_mse, weighted_bce
from densedistill.distill.losses.maps_affinity import affinity_loss
from densedistill.distill.losses.maps_boundaries import boundary_weight, label_boundaries
from densedistill.distill.losses.maps_dice import dice_loss
from densedistill.distill.losses.maps_divergence import bernoulli_kl, channel_kl, pixel_kl
from densedistill.distill.losses.maps_labels import pixel_cross_entropy
from densedistill.distill.losses.maps_terms import (
    AtUnitScale,
    MaskLoss,
    NearBoundaries,
    OnMaps,
    OnProbabilities,
    PixelLabels,
)
from densedistill.distill.losses.relation import pkt_loss, rkd_angle_loss, rkd_distance_loss, rkd_loss, similarity_loss
from densedistill.distill.losses.review import AttentionFusion, ReviewDistillation, hcl_loss
from densedistill.distill.losses.terms import (
    DistilledLogits,
    HardLabels,
    Reconstruction,
    SoftMaps,
    TaughtReconstruction,
    TermFunction,
)
from densedistill.distill.outputs import IGNORED

__all__ = [
    "IGNORED",
    "AtUnitScale",
    "AttentionFusion",
    "ContrastedImages",
    "ContrastiveDistillation",
    "CurriculumTemperature",
    "DistilledLogits",
    "FeatureMatching",
    "HardLabels",
    "HintRegression",
    "LearnedTemperature",
    "LogitHead",
    "MaskLoss",
    "NearBoundaries",
    "OnFeatures",
    "OnHeads",
    "OnImages",
    "OnLogits",
    "OnMaps",
    "OnProbabilities",
    "OnStages",
    "Perceptual",
    "PixelLabels",
    "ReadAs",
    "Reconstruction",
    "ReusedClassifier",
    "ReviewDistillation",
    "SoftMaps",
    "TaughtFrequencies",
    "TaughtReconstruction",
    "TermFunction",
    "VariationalDistillation",
    "WarmedUp",
    "affinity_loss",
    "aligned",
    "as_map",
    "attention_loss",
    "bernoulli_kl",
    "boundary_weight",
    "channel_kl",
    "contrast_ratio",
    "ctkd_loss",
    "curriculum",
    "dice_loss",
    "dist_loss",
    "dkd_loss",
    "dkd_per_image",
    "epoch_number",
    "feature_mse",
    "frequency_l1",
    "hcl_loss",
    "hint_loss",
    "kd_loss",
    "l1",
    "label_boundaries",
    "mixed_cross_entropy",
    "mixed_dkd_loss",
    "mlkd_loss",
    "nce_loss",
    "nkd_loss",
    "ofa_loss",
    "perceptual_l1",
    "pixel_cross_entropy",
    "pixel_kl",
    "pkt_loss",
    "pooled_cosine",
    "probability_mse",
    "reverse_gradient",
    "rkd_angle_loss",
    "rkd_distance_loss",
    "rkd_loss",
    "similarity_loss",
    "simkd_loss",
    "standardise",
    "to_smaller",
    "vid_loss",
    "weighted_bce",
    "wttm_loss",
]
