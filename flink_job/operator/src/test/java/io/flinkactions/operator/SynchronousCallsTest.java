package io.flinkactions.operator;

import static io.flinkactions.operator.Ledger.assertOneKeyPerCall;
import static io.flinkactions.operator.Ledger.count;
import static io.flinkactions.operator.Ledger.ledger;
import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.store.KafkaBroker;
import io.flinkactions.operator.store.StoreException;
import io.flinkactions.operator.store.StoreSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;
import org.apache.flink.api.common.serialization.SimpleStringEncoder;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.sink.filesystem.bucketassigners.BasePathBucketAssigner;
import org.apache.flink.streaming.api.functions.sink.filesystem.rollingpolicies.OnCheckpointRollingPolicy;
import org.apache.flink.util.ExceptionUtils;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What calls have really done when both the worker and the task manager are killed, by a ledger
 * outside of both, with the action state store in a real broker.
 */
class SynchronousCallsTest {

  private static final Duration LIMIT = Duration.ofSeconds(40);

  @TempDir Path folder;
  private final String topic = "calls-" + UUID.randomUUID();
  private KafkaBroker broker;

  @BeforeEach
  void start() throws Exception {
    broker = KafkaBroker.shared();
  }

  private StoreSettings store() {
    return StoreSettings.kafka(broker.address(), topic).withPartitions(8, 1);
  }

  /**
   * Says at once that it has begun, makes three calls one after the other, and says how it ended.
   * The ledger tells when each call begins, and when the action goes on after it: then it is
   * recorded.
   */
  private static String paying(String durability, double seconds) {
    return """
    import asyncio, os
    from flink_actions import Agent, Event, OutputEvent, action, current_call

    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(*words):
        os.write(ledger, (" ".join(str(word) for word in words) + "\\n").encode())

    async def pay(k, i, step):
        write("begin", k, i, step)
        write("key", k, i, step, current_call().idempotency_key)
        await asyncio.sleep(%s)
        return {"of": [k, i, step]}

    class Paying(Agent):
        @action("_input_event", durability="%s")
        async def work(self, event, ctx):
            k, i = event.input["k"], event.input["i"]
            ctx.send_event(Event(type="begun", attributes={"k": k, "i": i}))
            for step in range(3):
                paid = await ctx.durable_execute_async(pay, k, i, step)
                write("recorded" if paid == {"of": [k, i, step]} else "wrong", k, i, step)
            ctx.send_event(OutputEvent(output={"k": k, "i": i, "what": "paid"}))

        @action("begun")
        async def tell(self, event, ctx):
            ctx.send_event(OutputEvent(output={**event.attributes, "what": "begun"}))

    agent = Paying()
    """
        .formatted(seconds, durability);
  }

  private static long recorded(ActionServerProcess server, String step) {
    return ledger(server).stream()
        .filter(line -> line.startsWith("recorded ") && line.endsWith(step))
        .count();
  }

  /** Both processes of the pod are gone; others start. Returns what was recorded by then. */
  private static Set<String> killBoth(ActionServerProcess server, String agent) throws Exception {
    server.kill();
    Set<String> recorded = Set.copyOf(count(ledger(server), "recorded").keySet());
    TestJob.replaceTaskManager();
    server.start(agent);
    return recorded;
  }

  private static void assertComplete(List<String> outputs, int inputs) {
    assertThat(new HashSet<>(outputs)).hasSize(2 * inputs);
  }

  /** Inputs that are still coming when others are worked on: checkpoints want a barrier. */
  private static DataStream<String> paced(DataStream<String> inputs, long millis) {
    return inputs
        .map(
            text -> {
              Thread.sleep(millis);
              return text;
            })
        .returns(Types.STRING)
        .setParallelism(1);
  }

  private static void assertSameCall(List<String> ledger) {
    assertThat(count(ledger, "wrong")).isEmpty();
  }

  /** Calls that were begun after an action had gone on behind them: they were recorded. */
  private static Set<String> begunAgain(List<String> ledger) {
    Set<String> recorded = new HashSet<>();
    Set<String> again = new HashSet<>();
    for (String line : ledger) {
      String call = line.substring(line.indexOf(' ') + 1);
      if (line.startsWith("recorded ")) {
        recorded.add(call);
      } else if (line.startsWith("begin ") && recorded.contains(call)) {
        again.add(call);
      }
    }
    return again;
  }

  /** How often each call was begun that had been recorded when all was killed. */
  private static List<Integer> beginsOf(Set<String> recorded, List<String> ledger) {
    Map<String, Integer> begins = count(ledger, "begin");
    return recorded.stream().map(begins::get).distinct().toList();
  }

  private Set<String> killedInTheMiddle(String durability, List<String> ledgerAfter)
      throws Exception {
    String agent = paying(durability, 0.3);
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      TestJob job =
          TestJob.at(server, "both-killed-" + durability)
              .inputs(100, 100)
              // None is completed before all is killed: the job begins from its beginning.
              .checkpoints(folder, 60_000, false)
              .restarts(3)
              .settings(settings -> settings.store(store()))
              .start();
      job.await(LIMIT, () -> recorded(server, " 1") >= 100, "all have made two calls");
      Set<String> recorded = killBoth(server, agent);
      assertComplete(job.awaitFinished(), 100);
      assertThat(job.restarts()).isPositive();
      ledgerAfter.addAll(ledger(server));
      assertSameCall(ledgerAfter);
      assertOneKeyPerCall(ledgerAfter);
      assertThat(count(ledgerAfter, "begin")).hasSize(300);
      return recorded;
    }
  }

  @Test
  void of_level_synchronous_nothing_that_was_recorded_is_called_again_when_both_are_killed()
      throws Exception {
    List<String> ledger = new ArrayList<>();
    Set<String> recorded = killedInTheMiddle("synchronous", ledger);
    assertThat(recorded).hasSizeGreaterThanOrEqualTo(200);
    assertThat(beginsOf(recorded, ledger)).containsOnly(1);
    assertThat(begunAgain(ledger)).isEmpty();
    Map<String, Integer> begins = count(ledger, "begin");
    System.out.println(
        "both killed, synchronous: "
            + recorded.size()
            + " recorded, begun again: 0; of "
            + (300 - recorded.size())
            + " others, begun again: "
            + begins.values().stream().filter(times -> times > 1).count());
    // Of what was not recorded, the last call of each action at most.
    assertThat(begins.values()).allMatch(times -> times <= 2);
  }

  @Test
  void
      of_level_checkpoint_what_came_after_the_last_checkpoint_is_called_again_when_both_are_killed()
          throws Exception {
    List<String> ledger = new ArrayList<>();
    Set<String> recorded = killedInTheMiddle("checkpoint", ledger);
    assertThat(recorded).hasSizeGreaterThanOrEqualTo(200);
    assertThat(beginsOf(recorded, ledger)).containsOnly(2);
  }

  /** Texts in the files that an exactly-once sink has committed. */
  private static List<String> committed(Path files) throws IOException {
    List<String> lines = new ArrayList<>();
    try (Stream<Path> all = Files.walk(files)) {
      for (Path file : all.filter(Files::isRegularFile).toList()) {
        if (!file.getFileName().toString().startsWith(".")) {
          lines.addAll(Files.readAllLines(file));
        }
      }
    }
    return lines;
  }

  @Test
  void events_before_an_await_come_out_once_and_calls_are_made_once_over_kills_and_checkpoints()
      throws Exception {
    String agent = paying("synchronous", 0.05);
    Path files = folder.resolve("committed");
    FileSink<String> sink =
        FileSink.forRowFormat(
                new org.apache.flink.core.fs.Path(files.toUri()), new SimpleStringEncoder<String>())
            .withBucketAssigner(new BasePathBucketAssigner<>())
            .withRollingPolicy(OnCheckpointRollingPolicy.build())
            .build();
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      TestJob job =
          TestJob.at(server, "events-before-awaits")
              .inputs(1_500, 50)
              .before(inputs -> paced(inputs, 4))
              .checkpoints(folder, 200, false)
              .restarts(10)
              .settings(settings -> settings.store(store()))
              .afterwards(
                  outputs -> {
                    outputs.sinkTo(sink).uid("files");
                    return outputs;
                  })
              .start();
      Set<String> recorded = new HashSet<>();
      for (int kill = 1; kill <= 2; kill++) {
        int soMany = kill * 1_200;
        job.await(
            LIMIT,
            () -> count(ledger(server), "recorded").size() >= soMany,
            soMany + " recorded calls");
        recorded.addAll(killBoth(server, agent));
      }
      job.awaitFinished();
      List<String> ledger = ledger(server);
      assertSameCall(ledger);
      assertThat(count(ledger, "begin")).hasSize(4_500);
      assertThat(begunAgain(ledger)).isEmpty();
      List<String> lines = committed(files);
      System.out.println(
          "killed twice: "
              + recorded.size()
              + " recorded before, begun again: 0; committed outputs: "
              + lines.size()
              + ", entries left in the topic: "
              + liveEntries());
      assertThat(lines).hasSize(3_000).doesNotHaveDuplicates();
      // Each start may leave what it had not ended when it was killed.
      assertThat(liveEntries()).isLessThan(1_500);
    }
  }

  /** Entries that compaction would leave, fences among them. */
  private int liveEntries() {
    Map<String, Boolean> live = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : broker.records(topic)) {
      live.put(
          new String(record.key(), java.nio.charset.StandardCharsets.ISO_8859_1),
          record.value() != null);
    }
    return (int) live.values().stream().filter(isThere -> isThere).count();
  }

  @Test
  @OldestFlinkOnly
  void a_job_that_is_submitted_anew_without_any_state_goes_on_and_may_ignore_what_there_is()
      throws Exception {
    String agent = paying("synchronous", 0.1);
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      TestJob first =
          TestJob.at(server, "submitted-1")
              .inputs(50, 50)
              .settings(settings -> settings.store(store()).jobIdentifier("payments"))
              .start();
      first.await(LIMIT, () -> recorded(server, " 0") >= 50, "all have made a call");
      assertThat(MetricsTable.ofJob(first.metrics().keySet()))
          .filteredOn(MetricsTable::isOfStore)
          .containsExactlyInAnyOrderElementsOf(
              MetricsTable.documented().stream().filter(MetricsTable::isOfStore).toList());
      first.cancel();
      // What this worker has kept must not answer for the store.
      server.kill();
      Set<String> recorded = Set.copyOf(count(ledger(server), "recorded").keySet());
      server.start(agent);
      assertComplete(
          TestJob.at(server, "submitted-2")
              .inputs(50, 50)
              .settings(settings -> settings.store(store()).jobIdentifier("payments"))
              .start()
              .awaitFinished(),
          50);
      assertThat(recorded).hasSizeGreaterThanOrEqualTo(50);
      assertThat(beginsOf(recorded, ledger(server))).containsOnly(1);
      TestJob.at(server, "submitted-3")
          .inputs(50, 50)
          .settings(settings -> settings.store(store()).jobIdentifier("payments").ignoreStore(true))
          .start()
          .awaitFinished();
      assertThat(beginsOf(recorded, ledger(server))).containsOnly(2);
    }
  }

  @Test
  void a_call_that_was_under_way_when_both_were_killed_is_asked_of_its_reconciler()
      throws Exception {
    String agent =
        """
        import asyncio, os
        from flink_actions import Agent, OutputEvent, action

        ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        async def charge(k):
            os.write(ledger, f"begin {k}\\n".encode())
            await asyncio.sleep(30)

        class Charging(Agent):
            @action("_input_event", durability="synchronous")
            async def work(self, event, ctx):
                k = event.input["k"]

                async def find():
                    os.write(ledger, f"asked {k}\\n".encode())
                    return "charged"

                charged = await ctx.durable_execute_async(charge, k, reconciler=find)
                ctx.send_event(OutputEvent(output={"k": k, "charged": charged}))

        agent = Charging()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      TestJob job =
          TestJob.at(server, "reconciled")
              .inputs(20, 20)
              .checkpoints(folder, 60_000, false)
              .restarts(3)
              .settings(settings -> settings.store(store()))
              .start();
      job.await(LIMIT, () -> count(ledger(server), "begin").size() == 20, "20 calls under way");
      killBoth(server, agent);
      assertThat(job.awaitFinished()).hasSize(20).allMatch(text -> text.contains("charged\":\"c"));
      assertThat(count(ledger(server), "begin").values()).containsOnly(1);
      assertThat(count(ledger(server), "asked")).hasSize(20);
    }
  }

  @Test
  @OldestFlinkOnly
  void a_call_that_ended_its_attempt_is_made_again_and_its_record_is_ended() throws Exception {
    String agent = RateLimited.agent(", durability=\"synchronous\"");
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      RateLimited.assertCalledAsOften(
          TestJob.at(server, "limited")
              .inputs(1, 1)
              .settings(settings -> settings.store(store()))
              .start()
              .awaitFinished());
      // Without checkpoints nothing is over: the two calls, and a fence in each partition.
      assertThat(liveEntries()).isEqualTo(2 + 8);
      long ended = broker.records(topic).stream().filter(record -> record.value() == null).count();
      assertThat(ended).isEqualTo(2);
    }
  }

  @Test
  @OldestFlinkOnly
  void a_store_that_has_no_room_holds_workers_back_and_loses_nothing() throws Exception {
    String agent = paying("synchronous", 0);
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      List<String> outputs =
          TestJob.at(server, "no-room")
              .inputs(1_000, 500)
              .checkpoints(folder, 200, true)
              .settings(settings -> settings.store(store().withLimits(2_000, 1 << 20)))
              .start()
              .awaitFinished();
      assertThat(outputs).hasSize(2_000);
      assertComplete(outputs, 1_000);
      assertThat(count(ledger(server), "begin")).hasSize(3_000);
      assertThat(count(ledger(server), "begin").values()).containsOnly(1);
    }
  }

  @Test
  void two_jobs_in_one_topic_do_not_answer_each_other() throws Exception {
    String agent = paying("synchronous", 0.05);
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      List<TestJob> jobs = new ArrayList<>();
      for (String name : List.of("one", "other")) {
        jobs.add(
            TestJob.at(server, "topic-shared-" + name)
                .inputs(100, 100)
                .parallelism(2)
                .checkpoints(folder.resolve(name), 200, false)
                .restarts(3)
                .settings(settings -> settings.store(store()))
                .start());
      }
      jobs.get(0).await(LIMIT, () -> recorded(server, " 0") >= 100, "100 calls");
      TestJob.replaceTaskManager();
      for (TestJob job : jobs) {
        assertComplete(job.awaitFinished(), 100);
      }
      List<String> ledger = ledger(server);
      assertSameCall(ledger);
      // Once by each job: the worker lives and keeps what the store does not have.
      assertThat(count(ledger, "begin")).hasSize(300);
      assertThat(count(ledger, "begin").values()).allMatch(times -> times >= 2 && times <= 4);
      // Each of the 200 runs again its last call at most.
      assertThat(count(ledger, "begin").values().stream().mapToInt(times -> times).sum())
          .isBetween(600, 800);
    }
  }

  @Test
  @OldestFlinkOnly
  void a_broker_that_stays_away_fails_the_job_by_name_and_a_short_while_does_not()
      throws Exception {
    String agent = paying("synchronous", 0.02);
    try (KafkaBroker own = KafkaBroker.start();
        ActionServerProcess server = ActionServerProcess.serving(agent)) {
      StoreSettings settings =
          StoreSettings.kafka(own.address(), topic)
              .withPartitions(1, 1)
              .withTimeout(Duration.ofSeconds(4));
      TestJob job =
          TestJob.at(server, "broker-away")
              .inputs(4_000, 40)
              .before(inputs -> paced(inputs, 5))
              .checkpoints(folder, 200, false)
              .settings(built -> built.store(settings))
              .start();
      job.await(LIMIT, () -> count(ledger(server), "recorded").size() >= 200, "200 calls");
      own.pause();
      long before = job.checkpointCount();
      // Nobody waits for the store on the task's thread: checkpoints go on without it.
      job.awaitCheckpoints(before + 3, LIMIT);
      own.resume();
      int soFar = count(ledger(server), "recorded").size();
      job.await(
          LIMIT, () -> count(ledger(server), "recorded").size() >= soFar + 200, "200 more calls");
      own.pause();
      Throwable failure = job.awaitFailure();
      assertThat(ExceptionUtils.stringifyException(failure))
          .contains(StoreException.Unreachable.class.getName())
          .contains(own.address())
          .contains("action-state-store.timeout");
    }
  }
}
