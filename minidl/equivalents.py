"""Equivalents of Keras and PyTorch code in minidl: the table of docs/guide/faq.md and of :mod:`minidl.habits`.

A line of the table is code of Keras, of PyTorch and of minidl, and optionally a remark. The error for a name of the
first two columns that minidl lacks shows the third. The object of an attribute matters: ``x`` is a tensor, ``images``
an array of images, ``model`` a module, so ``x.cuda()`` and ``model.cuda()`` have a line each. If there is no
equivalent, the remark gives the reason.
"""

import functools
from typing import NamedTuple

from .equivalent_arguments import ARGUMENTS

TABLE = """
## Modules
keras.layers | torch.nn | md.nn
keras.losses | torch.nn | md.nn
keras.activations | torch.nn.functional | nn.functional
keras.initializers | torch.nn.init | nn.init
keras.optimizers | torch.optim | md.optim
keras.optimizers.schedules | optim.lr_scheduler | optim.step, optim.cosine, optim.one_cycle
keras.models | torch.nn | nn.Sequential, nn.Module
keras.callbacks | | md.callbacks
keras.utils | torch.utils.data | md.data
keras.backend | torch.backends | md.backends # `python -m minidl doctor` lists the available ones
| nn.modules | md.nn # all layers and losses
| nn.parameter | md.nn # with nn.Parameter and nn.Buffer
| nn.utils | optim.clip_grad_norm(model.parameters(), 1.0) # the only function of it in minidl
| nn.parallel | # left out: a model is on one device
tf.math | torch.linalg | nn.functional # and methods of tensors, x.log() and x @ w
tf.keras | | md.nn # and md.optim, md.data, md.Trainer
tf.config | torch.version | md.backends # `python -m minidl doctor` lists the available ones
keras.datasets | torchvision.datasets | md.data.ArrayDataset(images, labels) # arrays that you have read
keras.metrics | torchmetrics | md.Trainer(model, F.l1_loss, optimizer, metrics={"accuracy": accuracy})

## Layers
layers.Dense(b) | nn.Linear(a, b) | nn.Dense(a, b)
layers.Conv2D(32, 3) | nn.Conv2d(1, 32, 3) | nn.Conv2D(1, 32, 3)
layers.MaxPooling2D(2) | nn.MaxPool2d(2) | nn.MaxPooling2D(2)
layers.MaxPool2D(2) | | nn.MaxPooling2D(2)
layers.AveragePooling2D(2) | nn.AvgPool2d(2) | nn.AveragePooling2D(2) # padding is not counted
layers.GlobalAveragePooling2D() | nn.AdaptiveAvgPool2d(1) | nn.GlobalAveragePooling2D()
layers.GlobalMaxPooling2D() | nn.AdaptiveMaxPool2d(1) | images.max(axis=(1, 2))
layers.Flatten() | nn.Flatten() | nn.Flatten()
layers.Reshape((7, 7, 1)) | nn.Unflatten(1, (7, 7, 1)) | images.reshape(-1, 7, 7, 1)
layers.Activation("relu") | nn.ReLU() | nn.ReLU()
layers.Softmax() | nn.Softmax(dim=-1) | nn.Softmax() # losses take the logits before it
| nn.LogSoftmax(dim=-1) | F.log_softmax(x) # a function
layers.Activation("gelu") | nn.GELU() | # left out: write your own module
layers.Dropout(0.5) | nn.Dropout(0.5) | nn.Dropout(0.5)
layers.SpatialDropout2D(0.5) | nn.Dropout2d(0.5) | nn.Dropout(0.5) # it drops elements, not channels
layers.BatchNormalization() | | nn.BatchNorm(32)
| nn.BatchNorm1d(32) | nn.BatchNorm(32, momentum=0.9, eps=1e-5) # its momentum=0.1; the running variance has ddof 0
| nn.BatchNorm2d(32) | nn.BatchNorm(32, momentum=0.9, eps=1e-5) # its momentum=0.1; the running variance has ddof 0
layers.LayerNormalization() | nn.LayerNorm(32) | # left out: write your own module
layers.Add()([x, y]) | x + y | x + y
layers.Multiply()([x, y]) | x * y | x * y
layers.Maximum()([x, y]) | torch.maximum(x, y) | F.maximum(x, y)
layers.Concatenate()([x, y]) | | F.concatenate([x, y], axis=-1)
layers.ZeroPadding2D(1) | nn.ZeroPad2d(1) | F.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)])
layers.Rescaling(1 / 255) | transforms.ToTensor() | images.astype(np.float32) / 255
layers.RandomFlip("horizontal") | transforms.RandomHorizontalFlip() | md.data.DataLoader(pictures, mirror=True)
layers.Lambda(f) | | # left out: write your own module
layers.Conv1D(32, 3) | nn.Conv1d(1, 32, 3) | nn.Conv2D(1, 32, (1, 3)) # of images of height 1
layers.Conv2DTranspose(32, 3) | nn.ConvTranspose2d(1, 32, 3) | # left out: write your own op
layers.UpSampling2D(2) | nn.Upsample(2) | # left out: write your own op
layers.Embedding(1000, 8) | nn.Embedding(1000, 8) | w[labels] # w is a parameter
layers.LSTM(16) | nn.LSTM(8, 16) | # left out: minidl is for images
keras.Input((28, 28, 1)) | | # not needed: the first layer has an argument for it
layers.Identity() | nn.Identity() | nn.Sequential()

## Models
class Net(keras.Model): ... | class Net(nn.Module): ... | class Net(nn.Module): ... # with forward, not call
layers.Layer | | nn.Module # with forward, not call
keras.Model(inputs, outputs) | | class Net(nn.Module): ... # with your own forward
keras.Sequential([first, second]) | nn.Sequential(first, second) | nn.Sequential(first, second)
model.add(layer) | model.append(layer) | nn.Sequential(*model, layer)
| nn.ModuleList([first, second]) | self.layers = [first, second]
| nn.ParameterList([w]) | self.weights = [nn.Parameter(array)]
| nn.ParameterDict({"w": w}) | self.weights = {"w": nn.Parameter(array)}
| nn.ModuleDict({"one": first}) | self.layers = {"one": first}
self.add_weight(shape=(3, 2)) | nn.Parameter(torch.zeros(3, 2)) | nn.Parameter(np.zeros((3, 2), np.float32))
| self.register_parameter("w", parameter) | self.w = nn.Parameter(array)
| self.register_buffer("mean", array) | self.mean = nn.Buffer(array)
| self.add_module("layer", layer) | self.layer = layer
model.summary() | print(model) | md.summary(model, (28, 28, 1))
model.layers | model.children() | model.children()
model.weights | | model.parameters() # model.state_dict() also has the running statistics
layer.kernel | layer.weight | layer.w
layer.bias | layer.bias | layer.b
| layer.in_features | layer.w.shape[0]
| layer.in_channels | layer.w.shape[-2]
layer.units | layer.out_features | layer.w.shape[-1]
layer.filters | layer.out_channels | layer.w.shape[-1]
| norm.weight | norm.gamma
| norm.bias | norm.beta
norm.moving_mean | norm.running_mean | norm.mean
norm.moving_variance | norm.running_var | norm.var
| model.modules() | [module for _, module in model.named_modules()]
| model.named_children() | model.named_modules() # the names of children have no dot
model.get_layer("0") | model.get_submodule("0") | dict(model.named_modules())["0"]
| model.apply(f) | [f(module) for _, module in model.named_modules()]
model.trainable_variables | model.parameters() | model.parameters() # including frozen ones
model.trainable_weights | model.parameters() | model.parameters() # including frozen ones
model.optimizer | | trainer.optimizer
model.loss | | trainer.loss
model.metrics | | trainer.metrics
model.history | | trainer.history
model.stop_training = True | | trainer.stopping = True
model.dtype | model.dtype | model.parameters()[0].dtype
| model.device | model.parameters()[0].backend
model.count_params() | | sum(array.size for array in model.state_dict().values())
| sum(p.numel() for p in model.parameters()) | sum(p.size for p in model.parameters())
model.get_weights() | model.state_dict() | model.state_dict()
model.set_weights(weights) | model.load_state_dict(weights) | model.load_state_dict(weights)
| model.buffers() | [buffer for _, buffer in model.named_buffers()]
| model.register_forward_hook(hook) | model.add_hook(hook)
model.trainable = False | model.requires_grad_(False) | for p in model.parameters(): p.requires_grad = False
| model.requires_grad = False | for p in model.parameters(): p.requires_grad = False
model.non_trainable_weights | model.buffers() | [buffer for _, buffer in model.named_buffers()]
model.call(images) | model.forward(images) | model(images)
model.build(shape) | | # not needed: the first argument of a layer is the input size
model.pop() | model.pop(-1) | nn.Sequential(*model[:-1])
| model.insert(0, layer) | nn.Sequential(layer, *model)
| model.extend([layer]) | nn.Sequential(*model, layer)
model.input_shape | | images.shape # a layer only has the channels
model.output_shape | | model(images).shape # md.summary(model, (28, 28, 1)) shows the shapes of all layers
model.predict_classes(images) | | model.eval()(images).argmax(axis=1)
model.predict_proba(images) | | F.softmax(model.eval()(images))
model.to_json() | | repr(model) # to read only: a model is built by code
| model.type(torch.float64) | model.astype(np.float64)
| model.bfloat16() | # left out: NumPy has no bfloat16
| model.freeze() | for p in model.parameters(): p.requires_grad = False
| model.float() | model.astype(np.float32)
| model.double() | model.astype(np.float64)
| model.half() | model.astype(np.float16)
| model.cpu() | model.to("numpy")
| model.cuda() | model.to("cupy")
tf.device("GPU") | model.to("cuda") | model.to("cupy")
tf.device("CPU") | model.to("cpu") | model.to("numpy")
tf.device("/GPU:0") | torch.device("cuda:0") | model.to("cupy") # a backend has a name
| next(model.parameters()).device | model.parameters()[0].backend
| torch.set_default_device("cuda") | model.to("cupy")
| torch.cuda.is_available() | # not needed: `python -m minidl doctor` lists the available backends
| torch.compile(model) | # not needed: on a GPU the trainer captures its steps
| nn.DataParallel(model) | # left out: a model is on one device
tf.function(f) | torch.jit.script(model) | # not needed: on a GPU the trainer captures its steps
| torch.amp.autocast() | # left out: model.astype(np.float16) converts all of a model

## Losses
losses.SparseCategoricalCrossentropy() | nn.CrossEntropyLoss() | nn.SoftmaxCrossEntropy() # for logits
losses.CategoricalCrossentropy() | | nn.SoftmaxCrossEntropy() # for logits and integer labels
| nn.NLLLoss() | nn.SoftmaxCrossEntropy() # for logits, without log_softmax
| nn.BCEWithLogitsLoss() | nn.BinaryCrossEntropyWithLogits()
losses.BinaryCrossentropy() | nn.BCELoss() | nn.BinaryCrossEntropyWithLogits() # for logits, without sigmoid
losses.MeanSquaredError() | nn.MSELoss() | nn.MSELoss()
losses.MeanAbsoluteError() | nn.L1Loss() | nn.L1Loss()
losses.Huber() | nn.SmoothL1Loss() | nn.HuberLoss()
losses.sparse_categorical_crossentropy | F.cross_entropy | F.softmax_cross_entropy # for logits, averaged
losses.categorical_crossentropy | | F.softmax_cross_entropy # for logits and integer labels, averaged
| F.nll_loss | F.softmax_cross_entropy # for logits, without log_softmax
losses.binary_crossentropy | F.binary_cross_entropy | F.binary_cross_entropy_with_logits # for logits, averaged
losses.mean_squared_error | F.mse_loss | F.mse_loss # averaged over all elements
losses.mean_absolute_error | F.l1_loss | F.l1_loss # averaged over all elements
losses.mse | | F.mse_loss # averaged over all elements
losses.mae | | F.l1_loss # averaged over all elements
losses.bce | | F.binary_cross_entropy_with_logits # for logits, averaged
losses.MSE | | nn.MSELoss()
losses.MAE | | nn.L1Loss()
losses.huber | F.smooth_l1_loss | F.huber_loss # averaged over all elements
tf.nn.sparse_softmax_cross_entropy_with_logits | nn.functional.cross_entropy | F.softmax_cross_entropy # averaged
tf.nn.softmax_cross_entropy_with_logits | | F.softmax_cross_entropy # for logits and integer labels, averaged
tf.nn.sigmoid_cross_entropy_with_logits | | F.binary_cross_entropy_with_logits # averaged over all elements

## Tensors
tf.constant([1.0, 2.0]) | torch.tensor([1.0, 2.0]) | md.tensor([1.0, 2.0])
tf.Variable([1.0, 2.0]) | torch.tensor([1.0, 2.0], requires_grad=True) | md.tensor([1.0, 2.0], requires_grad=True)
| torch.Tensor([1.0, 2.0]) | md.tensor([1.0, 2.0])
tf.convert_to_tensor(array) | torch.as_tensor(array) | md.tensor(array) # a copy
| torch.FloatTensor([1.0]) | md.tensor([1.0])
| torch.LongTensor([3]) | md.tensor([3])
| torch.is_tensor(x) | isinstance(x, md.Tensor)
tf.zeros((2, 3)) | torch.zeros(2, 3) | md.zeros(2, 3)
tf.ones((2, 3)) | torch.ones(2, 3) | md.ones(2, 3)
tf.fill((2, 3), 7.0) | torch.full((2, 3), 7.0) | md.tensor(np.full((2, 3), 7.0, np.float32))
tf.eye(3) | torch.eye(3) | md.tensor(np.eye(3, dtype=np.float32))
tf.zeros_like(x) | torch.zeros_like(x) | md.zeros(x.shape, dtype=x.dtype)
tf.ones_like(x) | torch.ones_like(x) | md.ones(x.shape, dtype=x.dtype)
tf.random.uniform((2, 3)) | torch.rand(2, 3) | md.tensor(rng.random((2, 3), np.float32)) # rng = md.Generator(0)
| torch.randint(0, 10, (2, 3)) | md.tensor(rng.integers(0, 10, (2, 3))) # rng = md.Generator(0)
tf.random.shuffle(indices) | | rng.permutation(indices) # rng = md.Generator(0)
| torch.randperm(5) | rng.permutation(5) # rng = md.Generator(0)
| torch.randn_like(x) | md.randn(x.shape, dtype=x.dtype)
| torch.rand_like(x) | md.tensor(rng.random(x.shape, x.dtype)) # rng = md.Generator(0)
| torch.empty_like(x) | md.zeros(x.shape, dtype=x.dtype)
| torch.full_like(x, 7) | md.zeros(x.shape, dtype=x.dtype) + 7
| torch.empty(2, 3) | md.zeros(2, 3)
| x.new_zeros(2, 3) | md.zeros(2, 3, dtype=x.dtype)
tf.random.normal((2, 3)) | torch.randn(2, 3) | md.randn(2, 3)
tf.range(5) | torch.arange(5) | md.arange(5)
| torch.from_numpy(array) | md.from_numpy(array) # a copy
tf.float32 | torch.float32 | np.float32
tf.int64 | torch.long | np.int64
| torch.float | np.float32
tf.float64 | torch.double | np.float64
tf.float16 | torch.half | np.float16
tf.int32 | torch.int | np.int32
tf.uint8 | torch.uint8 | np.uint8
tf.bool | torch.bool | bool
| torch.set_default_dtype(torch.float64) | # left out: the default is always float32; pass dtype=np.float64
tf.cast(x, tf.float32) | x.float() | x.astype(np.float32)
| x.double() | x.astype(np.float64)
| x.half() | x.astype(np.float16)
| x.int() | x.astype(np.int32)
| x.bool() | x.astype(bool)
| x.long() | x.astype(np.int64)
| x.type(torch.float32) | x.astype(np.float32)
tf.reshape(x, (3, 2)) | x.view(3, 2) | x.reshape(3, 2)
tf.transpose(x) | x.t() | x.T
tf.transpose(x, (1, 0)) | x.permute(1, 0) | x.transpose(1, 0)
| x.transpose(0, 1) | x.transpose(1, 0) # the order of all axes; PyTorch swaps two
| x.swapaxes(0, 1) | x.transpose(1, 0) # the order of all axes, not two to swap
| x.ravel() | x.reshape(-1)
| x.flatten() | x.reshape(-1) # F.flatten(x) keeps the first axis
| torch.flatten(x) | x.reshape(-1) # F.flatten(x) keeps the first axis
| torch.flatten(x, 1) | F.flatten(x) # it keeps the first axis
| x.view_as(y) | x.reshape(y.shape)
| x.expand_as(y) | F.broadcast_to(x, y.shape)
| x.type_as(y) | x.astype(y.dtype)
| x.tolist() | x.numpy().tolist()
tf.expand_dims(x, 0) | x.unsqueeze(0) | x[None]
tf.squeeze(x, 1) | x.squeeze(1) | x[:, 0] # or x.reshape(...), which leaves out any axes of size 1
tf.shape(x)[0] | x.size(0) | x.shape[0]
tf.size(x) | x.numel() | x.size
| x.nelement() | x.size
tf.rank(x) | x.dim() | x.ndim
tf.concat([x, y], 0) | torch.cat([x, y]) | F.concatenate([x, y])
tf.tile(x, (2, 1)) | x.repeat(2, 1) | F.concatenate([x, x])
| x.tile((2, 1)) | F.concatenate([x, x])
| x.narrow(0, 0, 1) | x[0:1]
| x.select(0, 0) | x[0]
tf.broadcast_to(x, (2, 3)) | x.expand(2, 3) | F.broadcast_to(x, (2, 3))
tf.split(x, 2) | x.chunk(2) | x[:1], x[1:]
| x.split(1) | x[:1], x[1:]
tf.reduce_sum(x, 1) | x.sum(dim=1) | x.sum(axis=1)
tf.reduce_mean(x) | x.mean() | x.mean()
tf.reduce_max(x, 1) | x.max(dim=1).values | x.max(axis=1)
tf.argmax(x, 1) | x.argmax(dim=1) | x.argmax(axis=1)
| x.max(1)[1] | x.argmax(axis=1) # x.max(axis=1) returns only the values, so x.max(1)[1] is the second of them
| torch.max(x, 1) | x.max(axis=1), x.argmax(axis=1) # x.max(axis=1) returns only the values
tf.math.reduce_std(x) | x.std() | x.var().sqrt() # with ddof 0
tf.norm(x) | x.norm() | (x**2).sum().sqrt()
tf.matmul(x, w) | torch.matmul(x, w) | x @ w
| x.matmul(w) | x @ w
| x.mm(w) | x @ w
| x.bmm(w) | x @ w
| x.dot(w) | x @ w
tf.add(x, y) | x.add(y) | x + y
tf.subtract(x, y) | x.sub(y) | x - y
tf.multiply(x, y) | x.mul(y) | x * y
tf.divide(x, y) | x.div(y) | x / y
tf.negative(x) | x.neg() | -x
tf.math.rsqrt(x) | x.rsqrt() | 1 / x.sqrt()
tf.square(x) | x.square() | x**2
tf.pow(x, 2) | x.pow(2) | x**2
tf.math.floordiv(x, 2) | torch.floor_divide(x, 2) | np.floor_divide(x.numpy(), 2) # without a gradient
tf.math.floormod(x, 2) | torch.remainder(x, 2) | np.mod(x.numpy(), 2) # without a gradient
tf.clip_by_value(x, 0, 1) | x.clamp(0, 1) | x.clip(0, 1)
tf.equal(x, y) | x.eq(y) | x == y
| x.equal(y) | np.array_equal(x.numpy(), y.numpy())
| x.allclose(y) | np.allclose(x.numpy(), y.numpy())
tf.not_equal(x, y) | x.ne(y) | x != y
tf.greater(x, y) | x.gt(y) | x > y
tf.greater_equal(x, y) | x.ge(y) | x >= y
tf.less(x, y) | x.lt(y) | x < y
tf.less_equal(x, y) | x.le(y) | x <= y
tf.logical_and(x, y) | x.logical_and(y) | (x != 0) & (y != 0)
tf.logical_or(x, y) | x.logical_or(y) | (x != 0) | (y != 0)
tf.logical_not(x) | x.logical_not() | x == 0
tf.sort(x) | x.sort() | np.sort(x.numpy()) # a copy, without a gradient
tf.math.top_k(x, 2) | x.topk(2) | np.sort(x.numpy())[..., ::-1][..., :2] # a copy, without a gradient
| x.masked_fill(mask, 0) | F.where(mask, 0, x)
tf.one_hot(labels, 10) | F.one_hot(labels, 10) | np.eye(10, dtype=np.float32)[labels] # losses take labels
keras.utils.to_categorical(labels, 10) | | np.eye(10, dtype=np.float32)[labels] # losses take labels
tf.identity(x) | x.clone() | x.clone()
x.assign(y) | x.copy_(y) | x.data[...] = y.data # not between the forward and the backward pass
x.assign_add(y) | x.add_(y) | x.data += y.data # not between the forward and the backward pass
| x.zero_() | x.data[...] = 0 # not between the forward and the backward pass
| x.fill_(1) | x.data[...] = 1 # not between the forward and the backward pass
| x.requires_grad_() | x.requires_grad = True
tf.stop_gradient(x) | x.detach() | x.detach()
tf.GradientTape() | loss.backward() | loss.backward()
tape.gradient(loss, w) | torch.autograd.grad(loss, w) | loss.backward(), w.grad
| w.grad.zero_() | w.zero_grad() # w.grad is an array, or None
| x.is_leaf | x.op is None
| x.grad_fn | x.op
| x.register_hook(hook) | x.retain_grad() # then inspect x.grad after backward()
tf.custom_gradient(f) | torch.autograd.Function | md.Op
| ctx.save_for_backward(x) | self.save(x) # in forward; ctx is self here
| ctx.saved_tensors | self.saved # in backward
| ctx.needs_input_grad | self.needs_grad
| ctx.mark_dirty(x) | # left out: an op does not change its inputs
| torch.inference_mode() | md.no_grad()
| torch.set_grad_enabled(False) | with md.no_grad(): ...
| torch.enable_grad() | # not needed: outside of md.no_grad() graphs are recorded
| torch.is_grad_enabled() | # not needed: outside of md.no_grad() graphs are recorded
x.numpy() | x.detach().cpu().numpy() | x.numpy()
| x.cpu() | x.to("numpy")
| x.cuda() | x.to("cupy")
| x.device | x.backend
| x.is_cuda | x.backend.name == "cupy"
| x.contiguous() | # not needed: kernels handle any memory layout
| torch.backends.cudnn.benchmark = True | # not needed: the fastest kernel was measured beforehand
| torch.backends.mps.is_available() | # not needed: `python -m minidl doctor` lists the available backends
tf.random.set_seed(0) | torch.manual_seed(0) | md.seed(0)
keras.utils.set_random_seed(0) | torch.cuda.manual_seed_all(0) | md.seed(0)
initializers.HeNormal() | | init.he_normal
initializers.GlorotUniform() | | init.glorot_uniform
| init.kaiming_normal_(w) | w.data[...] = init.he_normal(w.shape, rng) # rng = md.Generator(0)
| init.kaiming_uniform_(w) | w.data[...] = init.he_uniform(w.shape, rng) # rng = md.Generator(0)
| init.xavier_normal_(w) | w.data[...] = init.glorot_normal(w.shape, rng) # rng = md.Generator(0)
| init.xavier_uniform_(w) | w.data[...] = init.glorot_uniform(w.shape, rng) # rng = md.Generator(0)
initializers.RandomNormal() | | w.data[...] = rng.normal(0, 0.05, w.shape) # rng = md.Generator(0)
| init.normal_(w) | w.data[...] = rng.normal(0, 1, w.shape) # rng = md.Generator(0)
initializers.RandomUniform() | | w.data[...] = rng.uniform(-0.05, 0.05, w.shape) # rng = md.Generator(0)
| init.uniform_(w) | w.data[...] = rng.uniform(0, 1, w.shape) # rng = md.Generator(0)
initializers.Constant(0.1) | init.constant_(w, 0.1) | w.data[...] = 0.1
| init.zeros_(w) | w.data[...] = 0
| init.ones_(w) | w.data[...] = 1

## Training
optimizers.SGD(0.1) | optim.SGD(model.parameters(), 0.1) | optim.SGD(model.parameters(), 0.1)
optimizers.Adam(1e-3) | optim.Adam(model.parameters(), 1e-3) | optim.Adam(model.parameters(), 1e-3) # its eps is 1e-8
optimizers.RMSprop(1e-3) | | optim.RMSprop(model.parameters(), 1e-3, alpha=0.9) # Keras's eps is inside the root
| optim.RMSprop(model.parameters(), 1e-3) | optim.RMSprop(model.parameters(), 1e-3)
optimizers.Adagrad(1e-2) | | optim.Adagrad(model.parameters(), 1e-2, initial_accumulator_value=0.1)
| optim.Adagrad(model.parameters(), 1e-2) | optim.Adagrad(model.parameters(), 1e-2)
optimizers.Nadam(1e-3) | optim.NAdam(model.parameters(), 1e-3) | # left out: write your own optimizer
optimizer.learning_rate | optimizer.param_groups[0]["lr"] | optimizer.lr
| scheduler.step() | optimizer.step() # it calls the schedule passed as lr=... of the optimizer
optimizer.iterations | | optimizer.steps
optimizer.variables | optimizer.defaults | optimizer.state_dict()
| optimizer.add_param_group(group) | # left out: one optimizer for each group, or requires_grad = False
optimizer.apply_gradients(pairs) | optimizer.step() | optimizer.step()
optimizer.minimize(loss, variables) | | loss.backward(), optimizer.step()
schedules.CosineDecay(0.1, 99) | | lr=optim.cosine(0.1, steps=99) # in steps, not epochs
| lr_scheduler.CosineAnnealingLR(optimizer, 9) | lr=optim.cosine(0.1, steps=9 * len(loader)) # in steps, not epochs
schedules.ExponentialDecay(0.1, 30, 0.5, staircase=True) | | lr=optim.step(0.1, 30, 0.5) # in steps, not epochs
| lr_scheduler.StepLR(optimizer, 30, 0.5) | lr=optim.step(0.1, 30 * len(loader), 0.5) # in steps, not epochs
| lr_scheduler.OneCycleLR(optimizer, 0.1, 99) | lr=optim.one_cycle(0.1, steps=98, final=4e-6) # in steps, not epochs
| lr_scheduler.LambdaLR(optimizer, f) | lr=lambda step: 0.1 * f(step // len(loader)) # in steps, not epochs
| lr_scheduler.ExponentialLR(optimizer, 0.9) | lr=lambda step: 0.1 * 0.9 ** (step // len(loader)) # in steps, not epochs
callbacks.LearningRateScheduler(f) | | lr=lambda step: f(step // len(loader)) # in steps, not epochs
callbacks.ReduceLROnPlateau() | lr_scheduler.ReduceLROnPlateau(optimizer) | # left out: write a callback
| nn.utils.clip_grad_norm_(model.parameters(), 1.0) | optim.clip_grad_norm(model.parameters(), 1.0)
| nn.utils.clip_grad_value_(model.parameters(), 1.0) | for p in model.parameters(): np.clip(p.grad, -1, 1, out=p.grad)
model.compile(optimizer, loss) | | md.Trainer(model, F.softmax_cross_entropy, optimizer)
model.fit(images, labels, epochs=5) | | md.Trainer(model, F.softmax_cross_entropy, optimizer).fit(loader, epochs=5)
model.evaluate(images, labels) | | md.Trainer(model, F.softmax_cross_entropy, optimizer).evaluate(loader)
model.predict(images) | model.eval()(images).detach().numpy() | model.eval()(images).numpy()
model.train_on_batch(images, labels) | | trainer.train_step(images, labels)
model.fit_generator(loader) | trainer.train() | trainer.fit(loader)
model.test_on_batch(images, labels) | trainer.test(model, loader) | trainer.evaluate(loader)
| trainer.validate(model, loader) | trainer.evaluate(loader)
| trainer.save_checkpoint(path) | md.callbacks.Checkpoint(folder)
history.history["loss"] | | [row["loss"] for row in history]
tf.data.Dataset.from_generator(f) | | md.data.Dataset # with __len__ and __getitem__
tf.data.Dataset.from_tensor_slices(arrays) | torch.utils.data.TensorDataset(x, y) | md.data.ArrayDataset(images, labels)
keras.utils.PyDataset | torch.utils.data.Dataset | md.data.Dataset
dataset.shuffle(99).batch(32) | DataLoader(dataset, 32, shuffle=True) | md.data.DataLoader(dataset, 32, shuffle=True)
dataset.batch(32) | | md.data.DataLoader(dataset, batch_size=32)
dataset.prefetch(2) | | md.data.DataLoader(dataset, prefetch=2)
dataset.repeat(5) | | trainer.fit(loader, epochs=5)
 | loader.next() | batches = iter(loader); next(batches) # iter once, before the loop
dataset.map(f) | | # left out: change the arrays, or write your own data set
dataset.take(80) | torch.utils.data.Subset(dataset, range(80)) | md.data.Subset(dataset, range(80))
| torch.utils.data.random_split(dataset, [80, 20]) | md.data.Subset(dataset, rng.permutation(100)[:80])
callbacks.ModelCheckpoint(path) | | md.callbacks.Checkpoint(folder)
callbacks.EarlyStopping("val_accuracy", mode="max") | | md.callbacks.EarlyStopping(monitor="val_accuracy", mode="max")
callbacks.CSVLogger(path) | tensorboard.SummaryWriter() | md.callbacks.CSVLog(path)
callback.on_train_batch_end(batch, logs) | | def on_step_end(self, trainer): ...
callback.on_batch_end(batch, logs) | | def on_step_end(self, trainer): ...
callback.on_epoch_begin(epoch, logs) | | # left out: use on_train_begin for the first epoch, then on_epoch_end
callback.on_epoch_end(epoch, logs) | | def on_epoch_end(self, trainer): ... # the epoch is trainer.epoch
callbacks.EarlyStopping(patience=5) | | md.callbacks.EarlyStopping(patience=5)
model.save_weights(path) | torch.save(model.state_dict(), path) | md.save(path, model.state_dict())
model.save(path) | torch.save(model, path) | md.save(path, model.state_dict()) # the weights; code builds the model
model.load_weights(path) | model.load_state_dict(torch.load(path)) | model.load_state_dict(md.load(path))
keras.models.load_model(path) | | model.load_state_dict(md.load(path)) # the weights; code builds the model
"""


class Row(NamedTuple):
    """A line of the table: the code of each, empty if there is none, and the remark.

    >>> Row("layers.Dense(b)", "nn.Linear(a, b)", "nn.Dense(a, b)").pytorch
    'nn.Linear(a, b)'
    """

    keras: str
    pytorch: str
    minidl: str
    remark: str = ""


@functools.cache
def sections() -> dict[str, list[Row]]:
    """The lines of the table by section title.

    >>> list(sections())
    ['Modules', 'Layers', 'Models', 'Losses', 'Tensors', 'Training', 'Arguments']
    """
    parts = [part.partition("\n") for part in (TABLE + ARGUMENTS).split("## ")[1:]]
    return {title: [_row(line) for line in lines.split("\n") if line] for title, _, lines in parts}


def _row(line: str) -> Row:
    keras, pytorch, rest = line.split("|", 2)
    code, _, remark = rest.partition("#")
    return Row(*map(str.strip, (keras, pytorch, code, remark)))
