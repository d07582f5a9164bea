package io.flinkactions.operator.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.Durability;
import io.flinkactions.wire.v1.MemorySettings;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Trigger;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class AgentPlanTest {

  private static Action action(String name, String... types) {
    Action.Builder action = Action.newBuilder().setName(name);
    Stream.of(types).forEach(type -> action.addTriggers(Trigger.newBuilder().setEventType(type)));
    return action.build();
  }

  private static Plan plan(Action... actions) {
    return Plan.newBuilder().setAgent("shop").addAllActions(Arrays.asList(actions)).build();
  }

  private static String[] names(PlannedAction... actions) {
    return Stream.of(actions).map(PlannedAction::name).toArray(String[]::new);
  }

  @Test
  void a_lifetime_of_memory_in_a_plan_is_refused_and_not_ignored() {
    Plan plan =
        plan().toBuilder().setMemory(MemorySettings.newBuilder().setShortTermTtlMs(60_000)).build();
    assertThatThrownBy(() -> AgentPlan.of(plan, 10, false))
        .isInstanceOf(UnsupportedPlanException.class)
        .hasMessageContainingAll("'shop'", "60000 ms", "agent.short-term-memory.state-ttl.ms");
  }

  @Test
  void an_event_triggers_actions_in_declaration_order() throws Exception {
    AgentPlan plan =
        AgentPlan.of(plan(action("b", "x"), action("a", "y", "x"), action("c", "y")), 10, false);
    assertThat(names(plan.triggeredBy("x"))).containsExactly("b", "a");
    assertThat(names(plan.triggeredBy("y"))).containsExactly("a", "c");
    assertThat(plan.triggeredBy("z")).isEmpty();
    assertThat(plan.action("c").index()).isEqualTo(2);
    assertThat(plan.action("gone")).isNull();
  }

  @Test
  void an_action_is_found_by_the_names_that_it_once_had_and_by_its_own_first() throws Exception {
    Action renamed = action("buy", "x").toBuilder().addFormerNames("purchase").build();
    Action confused = action("sell", "x").toBuilder().addFormerNames("buy").build();
    AgentPlan plan = AgentPlan.of(plan(confused, renamed), 10, false);
    assertThat(names(plan.action("purchase"), plan.action("buy"))).containsExactly("buy", "buy");
    assertThat(names(plan.triggeredBy("x"))).containsExactly("sell", "buy");
  }

  @Test
  void an_action_runs_once_per_event_however_many_of_its_triggers_match() throws Exception {
    AgentPlan plan = AgentPlan.of(plan(action("a", "x", "x")), 10, false);
    assertThat(names(plan.triggeredBy("x"))).containsExactly("a");
  }

  @Test
  void a_condition_that_this_operator_cannot_evaluate_is_refused_with_the_action_and_the_way_out() {
    Action cel =
        Action.newBuilder()
            .setName("big_ones")
            .addTriggers(Trigger.newBuilder().setCel("amount > 100"))
            .build();
    assertThatThrownBy(() -> AgentPlan.of(plan(cel), 10, false))
        .isInstanceOf(UnsupportedPlanException.class)
        .hasMessageContaining("big_ones")
        .hasMessageContaining("shop")
        .hasMessageContaining("amount > 100")
        .hasMessageContaining("event types");
  }

  @Test
  void calls_that_want_a_store_are_refused_where_there_is_none() throws Exception {
    Action synchronous =
        Action.newBuilder().setName("pay").setDurability(Durability.SYNCHRONOUS).build();
    assertThatThrownBy(() -> AgentPlan.of(plan(synchronous), 10, false))
        .isInstanceOf(UnsupportedPlanException.class)
        .hasMessageContaining("'pay'")
        .hasMessageContaining("synchronous")
        .hasMessageContaining("agent.actionStateStoreBackend")
        .hasMessageContaining("\"checkpoint\"");
    AgentPlan plan = AgentPlan.of(plan(synchronous), 10, true);
    assertThat(plan.action("pay").isSynchronous()).isTrue();
  }

  @Test
  void the_plan_s_hop_limit_beats_the_job_s() throws Exception {
    assertThat(AgentPlan.of(plan(), 10, false).hopLimit()).isEqualTo(10);
    assertThat(AgentPlan.of(plan().toBuilder().setHopLimit(3).build(), 10, false).hopLimit())
        .isEqualTo(3);
  }
}
