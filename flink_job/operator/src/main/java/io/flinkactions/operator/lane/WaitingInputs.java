package io.flinkactions.operator.lane;

/**
 * Bytes of the inputs on the heap: those that wait, against which records are held back, and those
 * whose runs have begun.
 *
 * <p>The soft limit holds back records. While a checkpoint is on its way and its barrier has not
 * come, the valve is open: records are let in up to the hard limit, because the barrier stands
 * behind them. Mailbox thread only.
 */
public final class WaitingInputs {

  private final long softLimit;
  private final long hardLimit;
  private long waitingBytes;
  private long runningBytes;
  private int waitingCount;
  private boolean isValveOpen;

  public WaitingInputs(long softLimit, long hardLimit) {
    this.softLimit = softLimit;
    this.hardLimit = hardLimit;
  }

  public void onArrived(Input input) {
    waitingBytes += input.bytes();
    waitingCount++;
  }

  public void onBegun(Input input) {
    waitingBytes -= input.bytes();
    waitingCount--;
    runningBytes += input.bytes();
  }

  /** Its run has begun, and waits to be tried again. */
  public void onWaitsAgain(Input input) {
    runningBytes -= input.bytes();
    waitingBytes += input.bytes();
    waitingCount++;
  }

  public void onFinished(Input input) {
    runningBytes -= input.bytes();
  }

  /** No record may be taken now. */
  public boolean isFull() {
    return waitingBytes > (isValveOpen ? hardLimit : softLimit);
  }

  /** Whether the run of this input may begin, as far as the heap goes; one always may. */
  public boolean maySpare(Input input) {
    return runningBytes == 0 || runningBytes + input.bytes() <= hardLimit;
  }

  public void setValveOpen(boolean isOpen) {
    isValveOpen = isOpen;
  }

  public boolean isValveOpen() {
    return isValveOpen;
  }

  public long waitingBytes() {
    return waitingBytes;
  }

  public int waitingCount() {
    return waitingCount;
  }
}
