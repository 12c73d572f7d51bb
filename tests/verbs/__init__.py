"""The contracts of the verbs: what each mixin of `kgen.verbs` promises."""

from verbs import contracts as contracts
