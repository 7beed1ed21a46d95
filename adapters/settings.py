"""Settings: the HEIMDEX_* environment -> one frozen value a process; read in ``__main__`` only.

Each process takes the groups it needs: ``class Settings(BusSettings, ObjectSettings, ProcessSettings)``.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from adapters.models import profiles
from adapters.models.settings import Device, ModelSettings
from adapters.objects.s3 import S3Endpoint
from contracts import plan


class ProcessSettings(BaseSettings):
    """What every process has."""

    model_config = SettingsConfigDict(
        env_prefix="HEIMDEX_",
        frozen=True,
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,  # it has keys in it
    )

    ops_port: int | None = Field(default=None, description="port of /live, /ready and /metrics; none without it")
    instance: str = Field(default="local-0", description="stable slot: static group membership and leases")


class BusSettings(ProcessSettings):
    """Kafka."""

    kafka: str = Field(description="host:port of the brokers, comma separated")
    topic_prefix: str = Field(default="", description="put before every topic's and group's name")


class ObjectSettings(ProcessSettings):
    """S3."""

    s3_endpoint: str = Field(description="URL for the processes")
    s3_public_endpoint: str = Field(description="URL for clients")
    s3_region: str = Field(default="us-east-1", description="region to sign for")
    s3_access_key: str = Field(description="access key")
    s3_secret_key: str = Field(description="secret key", repr=False)
    s3_bucket: str = Field(default="heimdex", description="bucket of everything but leases; versioned")
    s3_lease_bucket: str = Field(default="heimdex-leases", description="bucket of leases; not versioned")
    cache_dir: Path = Field(default=Path("source-cache"), description="host-local, bounded cache of source videos")

    def s3(self) -> S3Endpoint:
        """Return where the S3 is and how to sign."""
        return S3Endpoint(
            self.s3_endpoint, self.s3_public_endpoint, self.s3_region, self.s3_access_key, self.s3_secret_key
        )


class StoreSettings(ProcessSettings):
    """The search stores."""

    opensearch: str = Field(description="URL")
    milvus_text: str = Field(description="URI of the text vectors")
    milvus_vision: str = Field(description="URI of the vision vectors; may be the same")


class CatalogSettings(ProcessSettings):
    """The catalogue."""

    catalog: str = Field(description="SQLAlchemy URL")


class PipelineSettings(ProcessSettings):
    """What is deployed: profile, models and limits. The same in gateway and stages, else plans are not served."""

    profile: str = Field(default="small", description="fake, small or production")
    models_dir: Path = Field(default=Path("models"), description="folder of model files")
    faces_model: Path | None = Field(default=None, description="YuNet's file, only where it is present")
    threads: int = Field(default=1, ge=1, description="threads of one model call")
    device: Device = Field(default="cpu", description="cpu or cuda")
    max_duration_s: float = Field(default=plan.MAX_DURATION_S, gt=0, description="longest video taken, seconds")
    max_bytes: int = Field(default=plan.MAX_BYTES, gt=0, description="largest file taken")
    language: str = Field(default="", description="BCP-47 of the speech; empty to detect it")
    deadline_factor: float = Field(default=1.0, gt=0, description="stretches every stage's deadline")

    def models(self) -> ModelSettings:
        """Return what every model needs to know of this machine."""
        return ModelSettings(self.models_dir, self.faces_model, self.threads, self.device)

    def pipeline(self) -> plan.Pipeline:
        """Return everything that changes results but the video itself."""
        versions = profiles.versions(self.profile, self.models())
        return plan.pipeline(
            versions, max_duration_s=self.max_duration_s, max_bytes=self.max_bytes, language=self.language
        )
