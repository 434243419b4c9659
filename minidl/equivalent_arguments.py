"""Equivalents of Keras's and PyTorch's arguments in minidl: the last part of :mod:`minidl.equivalents`."""

ARGUMENTS = """
## Arguments
activation="relu" | | nn.ReLU() # a separate layer
input_shape=(28, 28, 1) | | nn.Conv2D(1, 32, 3) # the number of input channels is the first argument
units=10 | out_features=10 | outputs=10
input_dim=64 | in_features=64 | inputs=64
filters=32 | out_channels=32 | filters=32
| in_channels=3 | channels=3
| num_features=32 | channels=32
pool_size=2 | kernel_size=2 | size=2
strides=2 | stride=2 | stride=2
dilation_rate=2 | dilation=2 | # left out
groups=2 | groups=2 | # left out
use_bias=False | bias=False | bias=False
kernel_initializer="he_normal" | | initializer="he_normal"
rate=0.5 | p=0.5 | rate=0.5
negative_slope=0.1 | negative_slope=0.1 | slope=0.1
epsilon=1e-3 | eps=1e-3 | eps=1e-3
name="conv1" | | self.conv1 = layer # the attribute is the name
| inplace=True | # not needed: nothing is changed in place
from_logits=True | | # not needed: losses take logits
reduction="sum" | reduction="sum" | # left out: losses are means; the sum is loss * a.size, for classes loss * len(a)
reduction="none" | reduction="none" | # left out: losses are means; write (a - b) ** 2 for one value per element
reduction="mean" | reduction="mean" | # not needed: losses are means
learning_rate=1e-3 | lr=1e-3 | lr=1e-3
beta_1=0.9 | betas=(0.9, 0.999) | betas=(0.9, 0.999)
beta_2=0.999 | betas=(0.9, 0.999) | betas=(0.9, 0.999)
| params=model.parameters() | parameters=model.parameters()
weight_decay=0.01 | weight_decay=0.01 | optim.AdamW(model.parameters(), weight_decay=0.01) # decoupled, not Adam's L2
rho=0.9 | | alpha=0.9
| min=0 | low=0
| max=1 | high=1
| end=5 | stop=5
decay_steps=99 | T_max=99 | steps=99 # in steps, not epochs
| eta_min=0.01 | final=0.01
alpha=0.01 | | final=0.001 # Keras's alpha is a fraction of the learning rate
decay_rate=0.5 | gamma=0.5 | factor=0.5
| step_size=30 | every=30 # in steps, not epochs
steps_per_epoch=99 | max_steps=99 | steps=99 # in total, not in each epoch
| input_size=(28, 28, 1) | input_shape=(28, 28, 1) # of one sample, without the batch axis
| weight=w | w=w
| weight=w | # left out: write your own loss, with F.log_softmax and F.where
| input=x | x=x
y_pred=y | input=y | a=y
y_pred=y | input=y | logits=y
y_pred=y | input=y | predictions=y
y_true=y | target=y | b=y
y_true=y | target=y | labels=y
y_true=y | target=y | targets=y
label_smoothing=0.1 | label_smoothing=0.1 | # left out: write your own loss, with F.log_softmax
| pos_weight=w | # left out: write your own loss, with F.log_softmax
kernel_regularizer="l2" | | optim.AdamW(model.parameters(), weight_decay=0.01) # decoupled, for all parameters
amsgrad=True | amsgrad=True | # left out: write your own optimizer
| dampening=0.1 | # left out: write your own optimizer
clipnorm=1.0 | | for p in model.parameters(): optim.clip_grad_norm([p], 1.0) # after backward(); each by itself
global_clipnorm=1.0 | | optim.clip_grad_norm(model.parameters(), 1.0) # after backward()
| maximize=True | # left out: negate the loss
shape=(2, 3) | size=(2, 3) | md.zeros(2, 3) # the sizes are positional arguments
| unbiased=False | # not needed: var has ddof 0
| correction=0 | # not needed: var has ddof 0
| non_blocking=True | # not needed: copies are complete when they are used
| ceil_mode=True | # left out: sizes are rounded down
| return_indices=True | # left out: write your own op
| count_include_pad=False | # not needed: padding is not counted
| start_dim=1 | # not needed: the first axis is kept
| affine=False | # left out: write your own module
| track_running_stats=False | # left out: write your own module
| beta=1.0 | delta=1.0 # the loss is beta times PyTorch's
alpha=0.1 | | slope=0.1
max_value=6 | | F.clip(x, 0, 6)
data_format="channels_last" | | # not needed: images are (N, H, W, C)
| padding_mode="reflect" | # left out: pad the images beforehand
| bias=None | b=None
| fused=True | # not needed: one kernel updates all parameters on a GPU
| foreach=True | # not needed: one kernel updates all parameters on a GPU
| transform=f | # left out: change the arrays, or write your own data set
| persistent_workers=True | # not needed: a thread makes the batches
| weights_only=True | # not needed: a file contains no code
valid=loader | val=loader | validation=loader
callbacks=[callback] | | md.Trainer(model, F.l1_loss, optimizer, callbacks=[callback])
| create_graph=True | # left out: first derivatives only
| gradient=y | grad=y
restore_best_weights=True | | md.callbacks.Checkpoint(folder) # best.safetensors is the best epoch
save_best_only=True | | # not needed: best.safetensors is the best epoch
min_delta=0.1 | | # left out: any improvement counts
validation_loader=loader | val_loader=loader | validation=loader
| collate_fn=f | # left out: write your own data set, with a batch method
| sampler=s | # left out: shuffle=True, or md.data.Subset(dataset, indices)
| generator=rng | seed=0
initial_epoch=1 | | # not needed: fit continues where it ended
| total_steps=99 | steps=98 # they count from 0
| norm_type=2 | # not needed: the norm is Euclidean
| closure=f | # left out: call backward() before step()
| requires_grad=False | nn.Buffer(array) # parameters are learned; or freeze one, w.requires_grad = False
| map_location="cpu" | # not needed: arrays are loaded by NumPy, and model.to("cupy") moves them
axis=1 | dim=1 | axis=1
keepdims=True | keepdim=True | keepdims=True
| dtype=torch.float32 | dtype=np.float32
| device="cuda" | backend="cupy"
| device="cuda" | model.to("cupy") # a trainer computes where its model is
| accelerator="gpu" | model.to("cupy") # a trainer computes where its model is
nb_epoch=5 | | epochs=5
epochs=5 | max_epochs=5 | trainer.fit(loader, epochs=5)
| retain_graph=True | # left out: add losses up and call backward() once
| set_to_none=True | # not needed: zero_grad() sets gradients to None
| strict=False | # left out: load all of the weights or none
training=False | model.eval() | model.eval()
batch_size=32 | | md.data.DataLoader(dataset, batch_size=32)
validation_data=(images, labels) | | validation=loader
validation_split=0.2 | | md.data.Subset(dataset, indices) # in a separate loader
verbose=1 | | md.Trainer(model, F.l1_loss, optimizer, callbacks=[md.callbacks.Progress()])
| num_workers=4 | prefetch=4 # batches ahead, by a thread
| pin_memory=True | # not needed: the loader copies to the device
"""
