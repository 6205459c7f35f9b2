# Through ONNX, which TensorRT reads itself
edgebench export resnet50 --framework tensorflow --precision fp16
edgebench deploy resnet50 --framework tensorflow --precision fp16 --backend tensorrt --device orin
