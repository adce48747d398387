# Written by tests/stubs.py
from model_zoo.clinical.latent_constructs import LatentConstructs as LatentConstructs
from model_zoo.clinical.meta_analysis import MetaAnalysis as MetaAnalysis
from model_zoo.clinical.treatment_heterogeneity import TreatmentHeterogeneity as TreatmentHeterogeneity
from model_zoo.ecology.litter_decay import LitterDecay as LitterDecay
from model_zoo.growth.gompertz import Gompertz as Gompertz
from model_zoo.growth.logistic_growth import LogisticGrowth as LogisticGrowth
from model_zoo.immunology.antibody_decay import AntibodyDecay as AntibodyDecay
from model_zoo.mixed.count_glmm import CountGLMM as CountGLMM
from model_zoo.mixed.crossover import Crossover as Crossover
from model_zoo.mixed.hospital_profile import HospitalProfile as HospitalProfile
from model_zoo.mixed.linear_mixed import LinearMixed as LinearMixed
from model_zoo.mixed.multi_centre import MultiCentre as MultiCentre
from model_zoo.mixed.nested_mixed import NestedMixed as NestedMixed
from model_zoo.mixed.random_slopes import RandomSlopes as RandomSlopes
from model_zoo.mixed.reliability_icc import ReliabilityICC as ReliabilityICC
from model_zoo.mixed.repeated_measures import RepeatedMeasures as RepeatedMeasures
from model_zoo.mixed.smooth_exposure import SmoothExposure as SmoothExposure
from model_zoo.mixed.variance_components import VarianceComponents as VarianceComponents
from model_zoo.oncology.car_t_expansion import CarTExpansion as CarTExpansion
from model_zoo.oncology.car_t_predator_prey import CarTPredatorPrey as CarTPredatorPrey
from model_zoo.oncology.trajectory_predictor import TrajectoryPredictor as TrajectoryPredictor
from model_zoo.oncology.tumour_growth import TumourGrowth as TumourGrowth
from model_zoo.oncology.tumour_growth_inhibition import TumourGrowthInhibition as TumourGrowthInhibition
from model_zoo.pharmacodynamics.direct_effect import DirectEffect as DirectEffect
from model_zoo.pharmacodynamics.dose_response_nested import DoseResponseNested as DoseResponseNested
from model_zoo.pharmacodynamics.effect_compartment import EffectCompartment as EffectCompartment
from model_zoo.pharmacodynamics.emax import Emax as Emax
from model_zoo.pharmacodynamics.indirect_response import IndirectResponse as IndirectResponse
from model_zoo.pharmacokinetics.michaelis_menten import MichaelisMenten as MichaelisMenten
from model_zoo.pharmacokinetics.one_compartment import OneCompartment as OneCompartment
from model_zoo.pharmacokinetics.target_mediated_disposition import (
    TargetMediatedDisposition as TargetMediatedDisposition,
)
from model_zoo.pharmacokinetics.three_compartment import ThreeCompartment as ThreeCompartment
from model_zoo.pharmacokinetics.two_compartment import TwoCompartment as TwoCompartment
from model_zoo.survival.joint_model import JointModel as JointModel
from model_zoo.survival.parametric_survival import ParametricSurvival as ParametricSurvival

__all__: list[str]
