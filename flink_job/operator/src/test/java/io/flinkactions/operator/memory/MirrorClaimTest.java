package io.flinkactions.operator.memory;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.MemoryForm;
import org.junit.jupiter.api.Test;

class MirrorClaimTest {

  private static final ByteString V1 = ByteString.copyFromUtf8("version1");
  private static final ByteString V2 = ByteString.copyFromUtf8("version2");

  private final Object worker = new Object();
  private final MirrorClaim claim = new MirrorClaim();

  @Test
  void a_worker_that_was_sent_nothing_gets_all() {
    assertThat(claim.formFor(worker, V1)).isEqualTo(MemoryForm.FULL);
  }

  @Test
  void the_worker_that_has_the_version_is_told_so() {
    claim.hold(worker, V1);
    assertThat(claim.formFor(worker, V1)).isEqualTo(MemoryForm.AS_YOU_HAVE_IT);
  }

  @Test
  void another_session_gets_all_though_it_may_be_the_same_worker() {
    claim.hold(worker, V1);
    assertThat(claim.formFor(new Object(), V1)).isEqualTo(MemoryForm.FULL);
  }

  @Test
  void a_worker_that_has_another_version_gets_all() {
    claim.hold(worker, V1);
    assertThat(claim.formFor(worker, V2)).isEqualTo(MemoryForm.FULL);
  }

  @Test
  void that_sensory_memory_was_cleared_is_all_that_must_be_said_of_it() {
    claim.hold(worker, V1);
    claim.onSensoryCleared();
    assertThat(claim.formFor(worker, V2)).isEqualTo(MemoryForm.DELTA);
    assertThat(claim.version()).isEqualTo(V1);
    claim.hold(worker, V2);
    assertThat(claim.formFor(worker, V2)).isEqualTo(MemoryForm.AS_YOU_HAVE_IT);
  }

  @Test
  void a_worker_that_said_it_has_nothing_gets_all() {
    claim.hold(worker, V1);
    claim.drop();
    assertThat(claim.formFor(worker, V1)).isEqualTo(MemoryForm.FULL);
    claim.onSensoryCleared();
    assertThat(claim.formFor(worker, V2)).isEqualTo(MemoryForm.FULL);
  }
}
