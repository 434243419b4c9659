"""Names of PyTorch and Keras without an equivalent in minidl, in addition to :mod:`minidl.equivalents`."""

LEFT_OUT = {
    "write your own module": """
        LogSigmoid PReLU ELU SELU CELU SiLU Swish Mish Hardtanh Hardswish Hardsigmoid Hardshrink ReLU6 RReLU Softplus
        Softsign Softmin Softmax2d Softshrink Tanhshrink Threshold GLU Conv3d Conv3D MaxPool1d MaxPool3d AvgPool1d
        AvgPool3d MaxPooling1D MaxPooling3D AveragePooling1D AveragePooling3D AdaptiveAvgPool1d AdaptiveAvgPool3d
        AdaptiveMaxPool1d GlobalAveragePooling1D GlobalMaxPooling1D LPPool2d MaxUnpool2d BatchNorm3d GroupNorm
        InstanceNorm1d InstanceNorm2d GroupNormalization RMSNorm LocalResponseNorm Dropout1d Dropout3d GaussianNoise
        GaussianDropout Bilinear DepthwiseConv2D SeparableConv2D Permute RNN GRU SimpleRNN RNNCell LSTMCell GRUCell
        Bidirectional TimeDistributed Transformer MultiheadAttention MultiHeadAttention Attention EmbeddingBag
        PixelShuffle Fold Unfold Cropping2D Average Dot Masking""",
    "write a function of outputs and targets": """
        CTCLoss KLDivLoss GaussianNLLLoss PoissonNLLLoss MarginRankingLoss HingeEmbeddingLoss CosineEmbeddingLoss
        MultiMarginLoss SoftMarginLoss TripletMarginLoss KLDivergence Hinge SquaredHinge CategoricalHinge Poisson
        CosineSimilarity LogCosh kl_div ctc_loss LinearCrossEntropyLoss cosine_similarity""",
    "write it with the functions of minidl.nn.functional": """
        logsigmoid prelu elu elu_ selu celu silu mish gelu glu hardtanh hardswish hardsigmoid relu6 rrelu relu_
        softplus softsign softmin gumbel_softmax normalize instance_norm group_norm layer_norm conv1d conv3d
        conv_transpose2d max_pool1d max_pool3d avg_pool1d avg_pool3d interpolate upsample embedding unfold fold
        dropout1d dropout2d dropout3d adaptive_avg_pool2d adaptive_max_pool2d bilinear pixel_shuffle max_unpool1d
        max_unpool2d max_unpool3d grid_sample pairwise_distance
        scaled_dot_product_attention logsumexp softmax_ addmm baddbmm einsum vmap""",
    "write your own optimizer": """
        Adadelta Adamax RAdam Rprop ASGD LBFGS SparseAdam Ftrl""",
    "write a function of the step, and pass it as lr=": """
        MultiStepLR CosineAnnealingWarmRestarts CyclicLR LinearLR PolynomialLR ConstantLR MultiplicativeLR
        PolynomialDecay PiecewiseConstantDecay InverseTimeDecay CosineDecayRestarts""",
    "write w.data[...] = array": """
        xavier_normal xavier_uniform kaiming_normal kaiming_uniform trunc_normal_ orthogonal_ sparse_ eye_ dirac_
        TruncatedNormal Orthogonal VarianceScaling LecunNormal LecunUniform""",
    "write your own op, or use np with x.numpy() if no gradient is needed": """
        sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh erf erfc erfinv exp2 expm1 log2 log10 log1p lerp
        sign floor ceil trunc frac fmod median gather scatter scatter_ scatter_add index_select
        masked_select unbind roll flip rot90 triu tril outer inner cross cdist isnan isinf isfinite multinomial
        bernoulli unique amax amin fmax fmin logit xlogy rsqrt_ frexp ldexp""",
    "write x.data[...] = array, not between the forward and the backward pass": """
        abs_ clip_ exp_ log_ sqrt_ transpose_ resize_""",
    "minidl is only for neural networks, so use a library made for this purpose": """
        sparse fft distributions special onnx hub vision text audio image strings quantization distributed
        multiprocessing tensorboard TensorBoard""",
    "write your own callback": """
        LambdaCallback TerminateOnNaN RemoteMonitor BackupAndRestore ProgbarLogger""",
    "write your own data set": """
        IterableDataset ConcatDataset ChainDataset WeightedRandomSampler RandomSampler SequentialSampler BatchSampler
        SubsetRandomSampler""",
    "read the files, and write md.data.ArrayDataset(images, labels)": """
        MNIST FashionMNIST CIFAR10 CIFAR100 ImageFolder load_mnist load_data image_dataset_from_directory""",
    "write md.data.Subset(dataset, indices) for each part": """
        train_test_split""",
    "write md.tensor(array, dtype)": """
        BoolTensor ByteTensor CharTensor IntTensor HalfTensor""",
}
"""Advice by names that minidl lacks. Without it, the error would suggest the nearest name, such as ReLU for ELU."""


def left_out(name: str) -> str:
    """The advice for a name of PyTorch or Keras, also with the suffix ``_`` (in place); empty for other names.

    >>> left_out("PReLU"), left_out("sin_"), left_out("ReLU")
    ('left out: write your own module', 'left out: write your own op, or ...', '')
    """
    known = {one: instead for instead, names in LEFT_OUT.items() for one in names.split()}
    instead = known.get(name) or known.get(name.removesuffix("_"))
    return f"left out: {instead}" if instead else ""
