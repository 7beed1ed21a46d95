"""The ``heimdex`` command: client verbs over the SDK; operator verbs come with ``heimdex-server``."""
