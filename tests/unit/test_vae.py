"""The VAE: the paper's architecture, its loss, and its way to disk and back."""

import numpy as np
import pytest
import torch

from mgsflow.config import Vae
from mgsflow.core.errors import UserError
from mgsflow.models.encoders.vae import (
    VariationalAutoencoder,
    describe,
    kl_divergence,
    load_vae,
    reconstruction_error,
)
from mgsflow.models.storage import save_model
from mgsflow.sample.shards import Layout
from mgsflow.sample.stretch import Stretch

LAYOUT = Layout("frames", ("g", "r", "i"), 16, 0.396, "float16")
STRETCH = Stretch(0.1, 5.0)


def test_papers_setting_has_5_30_million_parameters():
    settings = Vae()
    network = VariationalAutoencoder(3, 160, settings.latent, settings.channels)
    assert sum(p.numel() for p in network.parameters()) == 5_297_539
    convolutions = [m for m in network.convolutions if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 3
    for layer in convolutions:
        assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))


@pytest.mark.parametrize(("bands", "size"), [(3, 160), (3, 128), (5, 64), (1, 16)])
def test_shapes_for_any_multiple_of_eight(bands, size):
    network = VariationalAutoencoder(bands, size, 7, [4, 6, 8])
    stamps = torch.randn(2, bands, size, size)
    reconstruction, mean, log_variance = network(stamps, torch.randn(2, 7))
    assert reconstruction.shape == stamps.shape
    assert mean.shape == log_variance.shape == (2, 7)
    with pytest.raises(ValueError, match="multiple of 8"):
        VariationalAutoencoder(bands, size + 4, 7, [4, 6, 8])


def test_noise_enters_as_the_reparameterisation_says():
    network = VariationalAutoencoder(1, 16, 3, [2, 3, 4])
    stamps, noise = torch.randn(5, 1, 16, 16), torch.randn(5, 3)
    reconstruction, mean, log_variance = network(stamps, noise)
    expected = network.decode(mean + log_variance.exp().sqrt() * noise)
    assert torch.allclose(reconstruction, expected, atol=1e-6)


def test_kl_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(6, 4), torch.randn(6, 4)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros(4), torch.ones(4))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1)
    assert torch.allclose(kl_divergence(mean, log_variance), expected, atol=1e-5)


def test_reconstruction_error_sums_over_pixels_and_bands():
    stamps = torch.zeros(2, 3, 8, 8)
    other = stamps.clone()
    other[1] = 0.5
    assert reconstruction_error(stamps, other).tolist() == pytest.approx([0, 0.25 * 3 * 64])


def test_encoder_depends_on_its_own_galaxy_alone():
    network = VariationalAutoencoder(3, 16, 4, [4, 6, 8]).train()
    stamps = torch.randn(6, 3, 16, 16)
    together, _ = network.encode(stamps)
    alone, _ = network.encode(stamps[2:3])
    assert torch.allclose(together[2:3], alone, atol=1e-6)


def test_extreme_stamps_give_finite_losses():
    network = VariationalAutoencoder(3, 16, 4, [4, 6, 8])
    reconstruction, mean, log_variance = network(1e4 * torch.randn(2, 3, 16, 16), torch.randn(2, 4))
    assert torch.isfinite(kl_divergence(mean, log_variance)).all()
    assert torch.isfinite(reconstruction).all()


def _save(folder, network, **changes):
    facts = describe(network, STRETCH, LAYOUT) | {"settings": Vae(precision="float32").model_dump()}
    save_model(folder, network.state_dict(), facts | changes)
    return folder


def test_loaded_vae_encodes_and_decodes_as_the_saved_one(tmp_path):
    network = VariationalAutoencoder(3, 16, 4, [4, 6, 8])
    vae = load_vae(_save(tmp_path, network))
    raw = np.random.default_rng(0).normal(0, 1, (5, 3, 16, 16)).astype(np.float16)
    mean, std = np.split(vae.encode(raw), 2, axis=1)
    with torch.no_grad():
        expected_mean, log_variance = network.encode(torch.from_numpy(STRETCH(raw)))
        expected_stamps = network.decode(expected_mean)
    assert mean == pytest.approx(expected_mean.numpy(), abs=1e-6)
    assert std == pytest.approx(log_variance.exp().sqrt().numpy(), rel=1e-5)
    assert vae.decode(mean) == pytest.approx(expected_stamps.numpy(), abs=1e-5)
    assert vae.layout == LAYOUT and vae.stretch == STRETCH
    assert not any(p.requires_grad for p in vae.network.parameters())


def test_stamps_of_another_kind_are_refused(tmp_path):
    vae = load_vae(_save(tmp_path, VariationalAutoencoder(3, 16, 4, [4, 6, 8])))
    vae.check(LAYOUT)
    with pytest.raises(UserError, match="not of the kind"):
        vae.check(Layout("files", ("g", "r", "i"), 16, 0.396, "uint8"))


def test_description_of_something_else_is_the_users(tmp_path):
    network = VariationalAutoencoder(3, 16, 4, [4, 6, 8])
    wider = {"kind": "vae", **network.architecture, "latent": 5}
    with pytest.raises(UserError, match="describes no VAE"):
        load_vae(_save(tmp_path, network, architecture=wider))
    with pytest.raises(UserError, match="describes no VAE"):
        load_vae(_save(tmp_path, network, inputs={}))
