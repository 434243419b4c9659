"""Answers to the exercises of ``minidl.course.optimizers``."""

STOPPED = """
best, bad = 0, 0
for epoch, loss in enumerate(losses[1:], 1):
    if loss {better} losses[best]:
        best{reset}
    else:
        bad += 1
    if bad == patience:
        break
return epoch, best
""".strip()
KERAS = """
m, v = beta1 * m + (1 - beta1) * dw, beta2 * v + (1 - beta2) * dw**2
return w - lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps), m, v
""".strip()
ADAM = """
m = beta1 * m + (1 - beta1) * dw
v = beta2 * v + (1 - beta2) * dw**2
{more}return w - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v
""".strip()
NORM = "norm = np.sqrt(sum((g**2).sum() for g in gradients))\n"

RIGHT = {
    "momentum_step": [
        "return w - lr * dw - lr * momentum * v, momentum * v + dw",
        "v_new = momentum * v + dw\nw_new = w - lr * v_new\nreturn w_new, v_new",
        "v = v * momentum\nv += dw\nreturn w - lr * v, v",
        "new = np.add(momentum * v, dw)\nreturn [np.subtract(w, lr * new), new]",
        "w, v = w.copy(), v.copy()\nv *= momentum\nv += dw\nw -= lr * v\nreturn (w, v)",
    ],
    "adam_step": [
        ADAM.format(more=""),
        "m = m + (1 - beta1) * (dw - m)\nv = v + (1 - beta2) * (dw * dw - v)\n"
        "mh = m / (1 - beta1**t)\nvh = v / (1 - beta2**t)\nreturn w - lr * mh / (vh**0.5 + eps), m, v",
        "m, v = beta1 * m + (1 - beta1) * dw, beta2 * v + (1 - beta2) * dw**2\n"
        "c1, c2 = 1 - np.power(beta1, t), 1 - np.power(beta2, t)\n"
        "return w - (lr / c1) * m / (np.sqrt(v) / np.sqrt(c2) + eps), m, v",
        "m2 = beta1 * m + (1 - beta1) * dw\nv2 = beta2 * v + (1 - beta2) * np.square(dw)\n"
        "step = lr * (m2 / (1 - beta1**t)) / (np.sqrt(v2 / (1 - beta2**t)) + eps)\nreturn w - step, m2, v2",
        "m, v = m.copy(), v.copy()\nm *= beta1\nm += (1 - beta1) * dw\nv *= beta2\nv += (1 - beta2) * dw**2\n"
        "return [w - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v]",
    ],
    "early_stopping": [
        STOPPED.format(better="<", reset=", bad = epoch, 0"),
        "best = 0\nfor epoch in range(len(losses)):\n    if losses[epoch] < losses[best]:\n        best = epoch\n"
        "    if epoch == best + patience:\n        return epoch, best\nreturn epoch, best",
        "for end in range(1, len(losses) + 1):\n    best = losses.index(min(losses[:end]))\n"
        "    if end - 1 - best >= patience:\n        break\nreturn end - 1, best",
        "best, lowest, waited = -1, float('inf'), 0\nfor epoch, loss in enumerate(losses):\n    waited += 1\n"
        "    if loss < lowest:\n        best, lowest, waited = epoch, loss, 0\n    if waited >= patience: break\n"
        "return [epoch, best]",
        "def go(epoch, best):\n    if losses[epoch] < losses[best]:\n        best = epoch\n"
        "    if epoch - best == patience or epoch + 1 == len(losses):\n        return epoch, best\n"
        "    return go(epoch + 1, best)\nreturn go(0, 0)",
    ],
    "clip_by_norm": [
        NORM + "return [g * min(1, max_norm / norm) if norm else g for g in gradients]",
        NORM + "if norm <= max_norm:\n    return gradients\nreturn [g * max_norm / norm for g in gradients]",
        "flat = np.concatenate([g.ravel() for g in gradients])\n"
        "factor = max_norm / max(np.linalg.norm(flat), max_norm)\n"
        "return [factor * g for g in gradients]",
        NORM + "out = []\nfor g in gradients:\n    out.append(g / max(norm / max_norm, 1))\nreturn out",
        NORM + "return tuple(g * np.minimum(1, max_norm / (norm + 1e-300)) for g in gradients)",
    ],
}

WRONG = {
    "momentum_step": [
        ("return w - lr * v, momentum * v + dw", "w moved by the old velocity"),
        ("v[:] = momentum * v + dw\nreturn w - lr * v, v", "it changes its arguments (v)"),
        ("v = momentum * v + dw\nreturn w + lr * v, v", "it climbs"),
        ("v = momentum * v + (1 - momentum) * dw\nreturn w - lr * v, v", "as in Adam"),
        ("v = momentum * v + lr * dw\nreturn w - v, v", "some books do this"),
        ("v = momentum * v - lr * dw\nreturn w + v, v", "the velocity is momentum v - lr dw"),
        ("v = 0.9 * v + dw\nreturn w - lr * v, v", "Hint: "),
        ("v = momentum * v + dw\nreturn w - lr * v", "return both, w and v"),
    ],
    "adam_step": [
        (KERAS, "Hint: expected"),
        (ADAM.format(more="").replace("(1 - beta1) * ", "").replace("(1 - beta2) * ", ""), "1 - beta are missing"),
        (ADAM.format(more="").replace("**t", " * t"), "contains a power"),
        (ADAM.format(more="").replace(", m, v", ""), "return all three"),
        (ADAM.format(more="lr = 0.1\n"), "Hint: "),
        (ADAM.format(more="").replace("beta1", "0.9"), "Hint: "),
        (ADAM.format(more="").replace("beta2", "0.99"), "Hint: "),
        (ADAM.format(more="").replace(" / (1 - beta1**t)", ""), "the bias of m is not corrected"),
    ],
    "early_stopping": [
        (STOPPED.format(better="<=", reset=", bad = epoch, 0"), "an equal loss is not a new best"),
        (STOPPED.format(better="<", reset=" = epoch"), "starts again from 0 at every new best"),
        (STOPPED.format(better=">", reset=", bad = epoch, 0"), "Hint: "),
        (
            STOPPED.format(better="<", reset=", bad = epoch, 0").replace("return epoch,", "return epoch + 1,"),
            "epochs are counted from 0",
        ),
        (
            STOPPED.format(better="<", reset=", bad = epoch, 0").replace("epoch, best", "epoch, losses[best]"),
            "return its epoch",
        ),
        ("return len(losses) - 1, losses.index(min(losses))", "it never stops"),
        (
            STOPPED.format(better="<", reset=", bad = epoch, 0").replace("return epoch, best", "return best"),
            "cannot be read as the answer",
        ),
    ],
    "clip_by_norm": [
        ("return [g * max_norm / np.linalg.norm(g) for g in gradients]", "its own norm"),
        (NORM + "return (g * max_norm / max(norm, max_norm) for g in gradients)", "this is a generator"),
        (
            NORM + "for g in gradients: g *= max_norm / max(norm, max_norm)\nreturn gradients",
            "it changes its arguments (gradients)",
        ),
        (NORM + "return [g * max_norm / norm for g in gradients]", "a gradient that is short enough must not change"),
        ("return gradients", "nothing is shortened"),
    ],
}
