package io.flinkactions.operator;

import io.flinkactions.operator.codec.InputCodec;
import io.flinkactions.operator.codec.OutputCodec;
import java.util.Objects;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.operators.coordination.OperatorCoordinator;
import org.apache.flink.runtime.operators.coordination.OperatorEventDispatcher;
import org.apache.flink.streaming.api.operators.AbstractStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.ChainingStrategy;
import org.apache.flink.streaming.api.operators.CoordinatedOperatorFactory;
import org.apache.flink.streaming.api.operators.OneInputStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.OperatorAttributes;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;

/**
 * Makes the action operator of each subtask. Give it to {@code KeyedStream.transform} of a stream
 * keyed by canonical JSON text.
 *
 * @param <IN> type of the inputs
 * @param <OUT> type of the outputs
 */
public final class ActionOperatorFactory<IN, OUT> extends AbstractStreamOperatorFactory<OUT>
    implements OneInputStreamOperatorFactory<IN, OUT>, CoordinatedOperatorFactory<OUT> {

  private static final long serialVersionUID = 1L;

  private final ActionSettings settings;
  private final InputCodec<IN> inputCodec;
  private final OutputCodec<OUT> outputCodec;

  /** Settings and codecs travel in the job graph. */
  public ActionOperatorFactory(
      ActionSettings settings, InputCodec<IN> inputCodec, OutputCodec<OUT> outputCodec) {
    this.settings = Objects.requireNonNull(settings, "settings");
    this.inputCodec = Objects.requireNonNull(inputCodec, "inputCodec");
    this.outputCodec = Objects.requireNonNull(outputCodec, "outputCodec");
    // At the head only: elsewhere a checkpoint taken inside the yield would cut an upstream
    // operator in two.
    this.chainingStrategy = ChainingStrategy.HEAD;
  }

  @Override
  @SuppressWarnings("unchecked") // Flink's own signature: T is what this factory makes.
  public <T extends StreamOperator<OUT>> T createStreamOperator(
      StreamOperatorParameters<OUT> parameters) {
    OperatorID operatorId = parameters.getStreamConfig().getOperatorID();
    OperatorEventDispatcher events = parameters.getOperatorEventDispatcher();
    ActionOperator<IN, OUT> operator =
        new ActionOperator<>(
            parameters,
            events.getOperatorEventGateway(operatorId),
            settings,
            inputCodec,
            outputCodec);
    events.registerEventHandler(operatorId, operator);
    return (T) operator;
  }

  @Override
  public OperatorCoordinator.Provider getCoordinatorProvider(
      String operatorName, OperatorID operatorId) {
    return new CheckpointAnnouncer.Provider(operatorId);
  }

  @Override
  public OperatorAttributes getOperatorAttributes() {
    return FlinkInternals.attributes(settings.unsortedBatchInput());
  }

  @Override
  public void setChainingStrategy(ChainingStrategy strategy) {
    // Stays at the head whatever is asked, see the constructor.
  }

  @Override
  @SuppressWarnings("rawtypes") // Flink's own signature.
  public Class<? extends StreamOperator> getStreamOperatorClass(ClassLoader classLoader) {
    return ActionOperator.class;
  }
}
